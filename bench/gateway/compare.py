"""gRPC proxying at 100 B: requests per CPU second of the gateway against nginx grpc_pass (and HAProxy where installed).

Every proxy is pinned to one core and forwards to the same backend; client and backend use the others. The figure is
requests divided by the user and system time the proxy's own processes spent, so a busy machine changes it little. The
proxies take turns, several rounds each, and every round must answer every request with the bytes it sent.

usage: compare.py GATEWAY_BINARY BENCH_TOOLS_FOLDER
environment: ROUNDS (5), REQUESTS per round (120000), MESSAGE bytes (100)
"""
import contextlib, json, os, pathlib, re, shutil, socket, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = int(os.environ.get("REQUESTS", "120000"))
MESSAGE = int(os.environ.get("MESSAGE", "100"))
CLIENTS, STREAMS = 8, 16
BAR_NGINX, BAR_HAPROXY = 3.0, 3.0
METHOD = "/alcove.vector.v1.VectorService/SearchPoints"
KEY = "bench-key-bench-key-bench-key"


def say(*words):
    print(*words, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode} before it listened")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen on {port}")


def family(pid):
    pids = [pid]
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                pids.append(int(path.parent.name))
    return pids


def cpu_seconds(pid):
    """User and system time of a process, its children and all their threads, to the nanosecond."""
    total = 0
    for p in family(pid):
        for path in pathlib.Path(f"/proc/{p}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def resident_mb(pid):
    total = 0
    for p in family(pid):
        with contextlib.suppress(OSError, AttributeError):
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{p}/status").read_text()).group(1))
    return total / 1024


def pin(core):
    return lambda: os.sched_setaffinity(0, {core})


class Proxy:
    """One proxy under test: how to start it, and what its rounds measured."""

    def __init__(self, name, headers=()):
        self.name, self.headers = name, headers
        self.us, self.rps, self.p50 = [], [], []
        self.process = self.port = None

    def start(self, argv, port, core, **kwargs):
        self.port = port
        self.process = subprocess.Popen(argv, preexec_fn=pin(core), stdout=subprocess.DEVNULL, **kwargs)
        wait_port(port, self.process)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


def ask(proxy, message):
    argv = ["curl", "-s", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/stdout", "--data-binary", f"@{message}"]
    for h in ("content-type: application/grpc", "te: trailers", *proxy.headers):
        argv += ["-H", h]
    return subprocess.run(argv + [f"http://127.0.0.1:{proxy.port}{METHOD}"], capture_output=True).stdout


def echoes(proxy, message):
    """The answer must be the very bytes sent, with grpc-status 0."""
    out = ask(proxy, message)
    return message.read_bytes() in out and b"grpc-status: 0" in out


def settle(proxy, message):
    """Waits until the proxy has found its backend and its key, then demands a correct answer."""
    for _ in range(50):
        if echoes(proxy, message):
            return
        time.sleep(0.1)
    sys.exit(f"{proxy.name} does not return the message it was sent:\n{ask(proxy, message)!r}")


def load(proxy, message, requests, core, clients=CLIENTS, streams=STREAMS):
    argv = ["h2load", "-n", str(requests), "-c", str(clients), "-m", str(streams), "-d", str(message)]
    for h in ("content-type: application/grpc", "te: trailers", *proxy.headers):
        argv += ["-H", h]
    before = cpu_seconds(proxy.process.pid)
    out = subprocess.run(argv + [f"http://127.0.0.1:{proxy.port}{METHOD}"], capture_output=True, text=True,
                         preexec_fn=pin(core)).stdout
    spent = cpu_seconds(proxy.process.pid) - before
    done = re.search(r"(\d+) succeeded, (\d+) failed", out)
    if not done or int(done[1]) != requests or int(done[2]) != 0:
        sys.exit(f"{proxy.name} failed requests:\n{out}")
    body = re.search(r"(?:\S+) \((\d+)\) data", out)
    if not body or int(body[1]) != requests * (MESSAGE + 5):
        sys.exit(f"{proxy.name} lost or added response bytes:\n{out}")
    rps = float(re.search(r"([\d.]+) req/s", out)[1])
    p50 = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", out)
    return spent * 1e6 / requests, rps, p50[1] if p50 else ""


def nginx_config(port, backend, folder):
    return f"""worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} http2; location / {{ grpc_pass grpc://backend; }} }}
}}
"""


def haproxy_config(port, backend):
    return f"""global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port} proto h2
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:{backend} proto h2
"""


def gateway_argv(binary, port, backend, folder):
    """The gateway with an API key, limits and metrics, in front of the echo backend."""
    text = pathlib.Path(__file__).with_name("gateway.yaml.in").read_text()
    for name, value in (("PORT", port), ("BACKEND", f"127.0.0.1:{backend}"), ("ADMIN_PORT", free_port()),
                        ("DATA", folder), ("KEY", KEY)):
        text = text.replace(f"@{name}@", str(value))
    config = pathlib.Path(folder) / "gateway.yaml"
    config.write_text(text)
    return [str(binary), f"--config={config}"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    gateway, tools = map(pathlib.Path, sys.argv[1:])
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, other_core = cores[0], cores[-1]
    hardware = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    rows = []

    def row(metric, value, unit, bar, reason=None):
        r = {"metric": metric, "value": value, "unit": unit, "bar": bar,
             "holds": None if value is None or bar is None else value >= bar}
        if reason:
            r["reason"] = reason
        rows.append(r)

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        message = pathlib.Path(folder) / "message"
        message.write_bytes(b"\0" + MESSAGE.to_bytes(4, "big") + b"x" * MESSAGE)
        backend_port = free_port()
        backend = Proxy("backend")
        backend.start([str(tools / "alcove-bench-echo"), str(backend_port)], backend_port, other_core)
        proxies, missing = [], {}
        key = (f"authorization: Bearer {KEY}",)
        alcove = Proxy("alcove-gateway", key)
        port = free_port()
        with open(pathlib.Path(folder) / "gateway.log", "w") as log:
            alcove.start(gateway_argv(gateway, port, backend_port, folder), port, proxy_core, stderr=log)
        proxies.append(alcove)
        bare = Proxy("data path alone", key)
        port = free_port()
        bare.start([str(tools / "alcove-bench-proxy"), str(port), f"127.0.0.1:{backend_port}", KEY], port, proxy_core)
        proxies.append(bare)
        if shutil.which("nginx"):
            nginx = Proxy("nginx grpc_pass")
            port = free_port()
            config = pathlib.Path(folder) / "nginx.conf"
            config.write_text(nginx_config(port, backend_port, folder))
            nginx.start(["nginx", "-c", str(config), "-p", folder], port, proxy_core, stderr=subprocess.DEVNULL)
            proxies.append(nginx)
        else:
            missing["nginx grpc_pass"] = "nginx is not installed"
        if shutil.which("haproxy"):
            haproxy = Proxy("haproxy")
            port = free_port()
            config = pathlib.Path(folder) / "haproxy.cfg"
            config.write_text(haproxy_config(port, backend_port))
            haproxy.start(["haproxy", "-db", "-f", str(config)], port, proxy_core, stderr=subprocess.DEVNULL)
            proxies.append(haproxy)
        else:
            missing["haproxy"] = "haproxy is not installed"
        try:
            for p in proxies:
                settle(p, message)
                load(p, message, 5000, other_core)
            for i in range(ROUNDS):
                for p in proxies:
                    us, rps, _ = load(p, message, REQUESTS, other_core)
                    p.us.append(us)
                    p.rps.append(rps)
            for p in proxies:
                p.single = load(p, message, 5000, other_core, clients=1, streams=1)[1]
            say(f"\ngRPC proxying, {MESSAGE} B unary, {CLIENTS} connections x {STREAMS} streams, one core per proxy, "
                f"{ROUNDS} rounds of {REQUESTS} requests")
            say(f"{'proxy':<18}{'CPU us/request':>16}{'spread':>16}{'requests/CPU s':>16}{'requests/s':>12}"
                f"{'1 in flight/s':>15}{'RSS MB':>9}")
            for p in proxies:
                us = statistics.median(p.us)
                say(f"{p.name:<18}{us:>16.2f}{f'{min(p.us):.2f}..{max(p.us):.2f}':>16}{1e6 / us:>16.0f}"
                    f"{statistics.median(p.rps):>12.0f}{p.single:>15.0f}{resident_mb(p.process.pid):>9.0f}")
        finally:
            for p in [*proxies, backend]:
                p.stop()
        by_name = {p.name: statistics.median(p.us) for p in proxies}
        ours = by_name["alcove-gateway"]
        for name, metric, bar in (("nginx grpc_pass", "grpc_requests_per_cpu_second_vs_nginx", BAR_NGINX),
                                  ("haproxy", "grpc_requests_per_cpu_second_vs_haproxy", BAR_HAPROXY)):
            if name in by_name:
                row(metric, round(by_name[name] / ours, 2), "ratio", bar)
            else:
                row(metric, None, "ratio", bar, missing[name])
        row("grpc_requests_per_cpu_second", round(1e6 / ours), "requests/s", None)
        row("cpu_us_per_request", round(ours, 2), "us", None)
        row("data_path_alone_cpu_us_per_request", round(by_name["data path alone"], 2), "us", None)
    print(json.dumps({"bench": "gateway", "hardware": f"{hardware}, {len(cores)} cores", "rows": rows}), flush=True)


main()
