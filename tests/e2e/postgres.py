"""A private PostgreSQL in a temporary folder, on a Unix socket, never as root."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time
import urllib.parse


class Postgres:
    def __init__(self):
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="alcove-pg-"))
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        self.run("initdb", "-D", self.folder / "data", "-U", "alcove", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.url = f"postgresql://alcove@/postgres?host={urllib.parse.quote(str(self.folder), safe='')}"

    def run(self, tool, *args, check=True):
        return subprocess.run([self.bin / tool, *args], check=check, capture_output=True, user=self.user, cwd=self.folder)

    def start(self):
        self.server = subprocess.Popen(
            [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=", "-c", "max_connections=100"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.user, cwd=self.folder)
        deadline = time.monotonic() + 60
        while self.run("pg_isready", "-q", "-h", self.folder, "-U", "alcove", check=False).returncode != 0:
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start")
            time.sleep(0.05)

    def stop(self):
        """At once, as a crash would: its clients' connections break."""
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        self.server.wait(30)

    def close(self):
        if self.server.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
