"""Many streams of server-sent events read at once, by one thread that does nothing but wait and append.

The client shares the two cores with the server it measures, so it must cost next to nothing: no HTTP library, no parsing
before the stream has ended, one clock reading when the first event with text arrives.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from dataclasses import dataclass, field


@dataclass
class Stream:
    """One request and what came back."""

    request: bytes
    received: bytearray = field(default_factory=bytearray)
    first_text_at: float | None = None
    ended_at: float | None = None

    def take(self, data: bytes, now: float) -> None:
        if self.first_text_at is None and b"data:" in data:
            self.first_text_at = now
        self.received += data


def post(port: int, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a POST after whose answer the server is to hang up."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(port: int, requests: list[bytes], timeout_seconds: float = 600) -> tuple[float, list[Stream]]:
    """Sends all requests, reads all answers to their ends; the moment of sending, and the streams."""
    streams, selector = [], selectors.DefaultSelector()
    begun = time.perf_counter()
    for request in requests:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        connection.setblocking(False)
        stream = Stream(request)
        streams.append(stream)
        selector.register(connection, selectors.EVENT_READ, stream)
    while selector.get_map():
        for key, _ in selector.select(timeout=1):
            data, now = key.fileobj.recv(65536), time.perf_counter()
            if data:
                key.data.take(data, now)
            else:
                key.data.ended_at = now
                selector.unregister(key.fileobj)
                key.fileobj.close()
        if time.perf_counter() - begun > timeout_seconds:
            raise TimeoutError(f"{len(selector.get_map())} of {len(requests)} streams did not end in {timeout_seconds} s")
    return begun, streams


def body_of(stream: Stream) -> tuple[int, str]:
    """The status and the body, taken out of its chunks."""
    head, _, rest = bytes(stream.received).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" not in head.lower():
        return status, rest.decode()
    body = bytearray()
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        body += rest[:size]
        rest = rest[size + 2 :]
    return status, body.decode()


def events_of(body: str) -> list[tuple[str, str]]:
    """(event, data) of each event; comments are passed over."""
    events = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        name, data = "message", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            events.append((name, "\n".join(data)))
    return events


def call(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, dict]:
    """A plain request with a JSON answer."""
    request = post(port, path, headers or {}, body).replace(b"POST", method.encode(), 1)
    _, (stream,) = run(port, [request], timeout_seconds=30)
    status, text = body_of(stream)
    return status, json.loads(text) if text.startswith(("{", "[")) else {}
