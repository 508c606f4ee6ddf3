"""How long one user waits for a first token while another keeps many long requests queued, against the wait on an idle server.

Two accounts of one server, over HTTP. The greedy one keeps 64 long requests open: whenever one ends, the next is sent. The other one
sends a short prompt now and then and reads until the first piece of text. Both values come from the same server, in turns.
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import threading
import time

import http_streams
from prompts import Passage, Passages
from systems import Tertulia

QUEUED, LONG_PROMPT, LONG_TEXT, SHORT_PROMPT = 64, 256, 256, 32


class Crowd:
    """Requests that one user keeps open, read by a thread of its own and sent again when they end."""

    def __init__(self, server: Tertulia, headers: dict[str, str], passages: list[Passage]):
        self._server, self._headers, self._passages = server, headers, passages
        self._done, self._sent = threading.Event(), 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        # Times between two pieces of one text: a step of the engine, with a stranger's prompt now and then between.
        self.gaps: list[float] = []

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._done.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            self._keep_busy()
        except Exception as error:  # Raised again where the measurement is, or it would be taken on an idle server.
            self._error = error

    def _open(self, selector: selectors.BaseSelector) -> None:
        passage = self._passages[self._sent % len(self._passages)]
        # Another number makes another text: nothing is found in the prefix cache.
        body = {**self._server.body(passage, LONG_TEXT), "prompt": f"{self._sent}. {passage.text}"}
        self._sent += 1
        connection = socket.create_connection(("127.0.0.1", self._server.port))
        connection.sendall(http_streams.post(self._server.port, self._server.path, self._headers, json.dumps(body).encode()))
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, {"head": b"", "piece_at": None})

    def _keep_busy(self) -> None:
        selector = selectors.DefaultSelector()
        for _ in range(QUEUED):
            self._open(selector)
        while not self._done.is_set():
            for key, _ in selector.select(timeout=0.1):
                self._read(selector, key)
        for key in list(selector.get_map().values()):
            key.fileobj.close()

    def _read(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        data, now = key.fileobj.recv(65536), time.perf_counter()
        if not data:
            if b" 201 " not in key.data["head"] and b" 200 " not in key.data["head"]:
                raise RuntimeError(f"the crowd was answered {key.data['head'][:300]!r}")
            selector.unregister(key.fileobj)
            key.fileobj.close()
            self._open(selector)
            return
        if len(key.data["head"]) < 64:
            key.data["head"] += data[:300]
        if b"data:" in data:
            if key.data["piece_at"] is not None:
                self.gaps.append(now - key.data["piece_at"])
            key.data["piece_at"] = now


def first_token_ms(server: Tertulia, headers: dict[str, str], passage: Passage) -> float:
    body = json.dumps(server.body(passage, 4)).encode()
    begun, (stream,) = http_streams.run(server.port, [http_streams.post(server.port, server.path, headers, body)])
    server.tokens_of(*http_streams.body_of(stream), 4)
    return 1000 * (stream.first_text_at - begun)


def measure(server: Tertulia, passages: Passages, rounds: int) -> dict:
    """Milliseconds of each kind, a list with one number a sample, and the greedy user's median step."""
    server.start(QUEUED)
    try:
        greedy, other = server.sign_in("greedy"), server.sign_in("other")
        long = [passages.take(LONG_PROMPT) for _ in range(16)]
        first_token_ms(server, other, passages.take(SHORT_PROMPT))
        idle, beside, gaps = [], [], []
        for _ in range(rounds):
            idle += [first_token_ms(server, other, passages.take(SHORT_PROMPT)) for _ in range(3)]
            with Crowd(server, greedy, long) as crowd:
                # Until the crowd has filled what one user may have, and its first prompts are being read.
                time.sleep(2)
                for _ in range(3):
                    beside.append(first_token_ms(server, other, passages.take(SHORT_PROMPT)))
                    time.sleep(0.3)
            gaps += crowd.gaps
            # The requests that were dropped leave within a step.
            time.sleep(1)
    finally:
        server.stop()
    step = 1000 * statistics.median(gaps)
    return {"idle_ms": idle, "beside_ms": beside, "step_ms": step, "queued": QUEUED}
