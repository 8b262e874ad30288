"""The smallest HTTP/1.1 client: prepared requests on one kept connection."""

import socket


def prepare(host, path, body, headers=()):
    """The bytes of one POST request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """Opened with the first request: servers close connections that say nothing for long."""

    def __init__(self, host, port):
        self.target, self.socket, self.rest = (host, port), None, b""

    def ask(self, request):
        """Sends one prepared request; returns the body of a 200 reply, else raises."""
        if self.socket is None:
            self.socket = socket.create_connection(self.target)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)
        data = self.rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.receive()
        head, data = data[:end].lower(), data[end + 4:]
        if b"transfer-encoding: chunked" in head:
            body = b""
            while True:
                while (line := data.find(b"\r\n")) < 0:
                    data += self.receive()
                size, data = int(data[:line], 16), data[line + 2:]
                while len(data) < size + 2:
                    data += self.receive()
                body, data = body + data[:size], data[size + 2:]
                if size == 0:
                    break
        else:
            at = head.index(b"content-length:") + 15
            length = int(head[at:].split(b"\r\n", 1)[0])
            while len(data) < length:
                data += self.receive()
            body, data = data[:length], data[length:]
        self.rest = data
        if b" 200" not in head[:16]:
            raise RuntimeError(f"{head[:60]!r} {body[:300]!r}")
        return body

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data
