"""Drives the real server for a while as an impatient crowd would, and checks that nothing is left behind. `make soak` calls it.

For SOAK_MINUTES (10) a bounded number of connections send requests of random users, lengths and kinds to a server on loopback with
the bundled model. Some hang up after a random time, some read slowly, some ask for more than the queue holds. Afterwards:

- every answer was what the contract allows, and every stream ended with exactly one `done` or `error`;
- every generation ended exactly once: its line in the log, the counters of /metrics and what the client saw agree;
- memory was flat: the last quarter's resident set is not above the second quarter's by more than 5 % and 8 MB;
- no place was lost: nothing runs or waits, and as many texts as there are places run at the same time again.

Needs Python's standard library alone. Exits with 1 and says what is wrong otherwise.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench/engine"))

import http_streams  # noqa: E402, found by the line before

PLACES, QUEUE, USERS, CONNECTIONS = 16, 24, 6, 48
WORDS = "the king wolf girl forest golden bird house night mother castle and said went old little three sons water stone".split()
MODEL_LABEL = re.compile(r'model="([^"]*)"')


@dataclass
class Caller:
    """One request and what it means to do."""

    number: int
    connection: socket.socket
    streams: bool
    hang_up_at: float | None
    # A slow reader takes nothing before this moment.
    reads_from: float
    received: bytearray = field(default_factory=bytearray)


class Server:
    """The real binary with room for a crowd, its log and its memory. Of this process's settings it takes none: neither .env nor environment."""

    def __init__(self) -> None:
        self.data = tempfile.mkdtemp(prefix="tertulia-soak-")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.log = Path(self.data, "soak.log")
        settings = {
            "HOST": "127.0.0.1", "PORT": str(self.port), "DATA_DIR": self.data, "LLM_ID": "bundled:fairy-tales",
            "SECRET_KEY": secrets.token_hex(32), "ACCESS_TOKEN_EXPIRE_MINUTES": "1440", "LOG_FORMAT": "json", "LOG_LEVEL": "info",
            "REQUESTS_PER_MINUTE": "1000000", "MAX_RUNNING_GENERATIONS": str(PLACES), "MAX_QUEUED_GENERATIONS": str(QUEUE),
            "MAX_RUNNING_PER_USER": "6",
        }
        # What a program needs to run, and where this one finds its library and models if it was moved.
        kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "ORT_DYLIB_PATH", "BUNDLED_MODELS_DIR")
        settings |= {name: os.environ[name] for name in kept if name in os.environ}
        binary = Path(os.environ.get("TERTULIA_BINARY", ROOT / "target/release/tertulia")).resolve()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([binary, "serve"], env=settings, stdout=log, stderr=log, cwd=self.data)
        self._wait_until_ready()
        self.users = [self._sign_up(f"soaker-{number}") for number in range(USERS)]

    def _wait_until_ready(self) -> None:
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            try:
                if http_streams.call(self.port, "GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit(f"the server does not answer: {self.log.read_text()[-2000:]}")

    def _sign_up(self, name: str) -> dict[str, str]:
        password = secrets.token_hex(16)
        body = json.dumps({"username": name, "password": password}).encode()
        made, _ = http_streams.call(self.port, "POST", "/users", body, {"Content-Type": "application/json"})
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        signed_in, token = http_streams.call(self.port, "POST", "/token", f"username={name}&password={password}".encode(), form)
        if (made, signed_in) != (201, 200):
            raise SystemExit(f"POST /users answered {made}, POST /token {signed_in}")
        return {"Content-Type": "application/json", "Authorization": f"Bearer {token['access_token']}"}

    def request(self, user: int, body: dict, name: str) -> bytes:
        headers = {**self.users[user], "X-Request-Id": name}
        return http_streams.post(self.port, "/text_generations", headers, json.dumps(body).encode())

    def resident_megabytes(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, without the model's."""
        request = http_streams.post(self.port, "/metrics", {}, b"").replace(b"POST", b"GET", 1)
        _, (stream,) = http_streams.run(self.port, [request], timeout_seconds=30)
        lines = [line for line in http_streams.body_of(stream)[1].splitlines() if line and not line.startswith("#")]
        return {MODEL_LABEL.sub("", line.rsplit(" ", 1)[0]): float(line.rsplit(" ", 1)[1]) for line in lines}

    def generations_ended(self) -> tuple[Counter[str], Counter[str]]:
        """How often each request's generation ended, and how often each outcome was, as the log has it."""
        requests, outcomes = Counter(), Counter()
        for line in self.log.read_text().splitlines():
            if '"generation ended"' in line:
                record = json.loads(line)
                requests[record["span"]["request_id"]] += 1
                outcomes[record["outcome"]] += 1
        return requests, outcomes

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self.data, ignore_errors=True)


class Crowd:
    """Keeps the connections busy, and judges each answer."""

    def __init__(self, server: Server, chance: random.Random):
        self._server, self._chance, self._selector = server, chance, selectors.DefaultSelector()
        self.sent = 0
        # What became of each request: an HTTP status, `done` or `error` of a stream, or `dropped`.
        self.ends: dict[str, str] = {}
        self.problems: list[str] = []

    def run(self, seconds: float) -> list[float]:
        """Answers the resident set in megabytes, once a second."""
        begun, memory = time.monotonic(), []
        while (now := time.monotonic()) - begun < seconds:
            while len(self._selector.get_map()) < CONNECTIONS:
                self._send()
            self._step()
            if len(memory) <= now - begun:
                memory.append(self._server.resident_megabytes())
                if len(memory) % 30 == 0:
                    print(f"{len(memory)} s: {self.sent} requests, {memory[-1]:.0f} MB", flush=True)
        deadline = time.monotonic() + 60
        while self._selector.get_map() and time.monotonic() < deadline:
            self._step()
        self.problems += [f"request {key.data.number} did not end" for key in self._selector.get_map().values()]
        return memory

    def _send(self) -> None:
        chance, now = self._chance, time.monotonic()
        streams = chance.random() < 0.8
        prompt = " ".join(chance.choices(WORDS, k=chance.choice([1, 5, 20, 60, 200])))
        body = {
            "prompt": prompt, "stream": streams, "max_new_tokens": chance.choice([1, 2, 10, 50, 150, 250]),
            "temperature": chance.choice([0, 0.7, 1.2]), "top_p": chance.choice([0.9, 1]), "seed": chance.randrange(1000),
        }
        if chance.random() < 0.2:
            body["stop"] = [chance.choice(WORDS)]
        connection = socket.create_connection(("127.0.0.1", self._server.port))
        connection.sendall(self._server.request(chance.randrange(USERS), body, f"soak-{self.sent}"))
        connection.setblocking(False)
        hang_up_at = now + chance.random() ** 2 * 3 if chance.random() < 0.35 else None
        reads_from = now + chance.random() * 3 if chance.random() < 0.1 else now
        caller = Caller(self.sent, connection, streams, hang_up_at, reads_from)
        self._selector.register(connection, selectors.EVENT_READ, caller)
        self.sent += 1

    def _step(self) -> None:
        ready = {key.data.number for key, _ in self._selector.select(timeout=0.01)}
        now, waits = time.monotonic(), True
        for key in list(self._selector.get_map().values()):
            caller = key.data
            if caller.hang_up_at is not None and caller.hang_up_at < now:
                self._end(caller, "dropped")
            elif caller.number in ready and caller.reads_from <= now:
                waits = False
                try:
                    data = caller.connection.recv(65536)
                except ConnectionError as error:
                    self.problems.append(f"request {caller.number}: {error}")
                    data = b""
                if data:
                    caller.received += data
                else:
                    self._end(caller, self._judge(caller))
        if waits and ready:
            # Only slow readers have something to read: without a pause this would take a whole core from the server.
            time.sleep(0.01)

    def _end(self, caller: Caller, how: str) -> None:
        self.ends[f"soak-{caller.number}"] = how
        self._selector.unregister(caller.connection)
        caller.connection.close()

    def _judge(self, caller: Caller) -> str:
        """How an answer that is complete ended; notes what the contract does not allow."""
        problem = self.problems.append
        try:
            status, body = http_streams.body_of(http_streams.Stream(b"", caller.received))
        except (ValueError, IndexError) as error:
            problem(f"request {caller.number}: {error}: {bytes(caller.received[:200])!r}")
            return "broken"
        if status == 503 and b"\r\nretry-after:" not in caller.received.lower():
            problem(f"request {caller.number}: 503 without Retry-After")
        if status not in (200, 201, 503, 504):
            problem(f"request {caller.number} was answered {status}: {body[:300]}")
        if not caller.streams or status not in (200, 201):
            return str(status)
        events = [name for name, _ in http_streams.events_of(body)]
        if events.count("done") + events.count("error") != 1 or events[-1] not in ("done", "error"):
            problem(f"request {caller.number}: a stream ended with {events[-3:]}")
        return events[-1] if events else "empty"


def check_ends(server: Server, crowd: Crowd) -> None:
    """Log, counters and client agree."""
    requests, outcomes = server.generations_ended()
    twice = [name for name, count in requests.items() if count > 1]
    lost = [name for name, end in crowd.ends.items() if end in ("done", "201") and requests[name] != 1]
    unknown = [name for name in requests if name not in crowd.ends]
    counted = {name: value for name, value in server.metrics().items() if name.startswith("tertulia_generations_total")}
    print(f"client: {dict(Counter(crowd.ends.values()))}\nlog: {dict(outcomes)}")
    crowd.problems += [f"ended more than once: {twice[:5]}"] if twice else []
    crowd.problems += [f"complete for the client and not in the log: {lost[:5]}"] if lost else []
    crowd.problems += [f"in the log and never asked for: {unknown[:5]}"] if unknown else []
    if sum(counted.values()) != sum(requests.values()):
        crowd.problems.append(f"the log has {sum(requests.values())} ends, the counters {counted}")
    if outcomes["failed"]:
        crowd.problems.append(f"{outcomes['failed']} generations failed")


def check_memory(memory: list[float], problems: list[str]) -> None:
    quarter = len(memory) // 4
    early, late = statistics.mean(memory[quarter : 2 * quarter]), statistics.mean(memory[3 * quarter :])
    print(f"memory: {early:.1f} MB in the second quarter, {late:.1f} MB in the last, {max(memory):.1f} MB at most")
    if late > early * 1.05 and late > early + 8:
        problems.append(f"memory grew from {early:.1f} to {late:.1f} MB")


def check_places(server: Server, problems: list[str]) -> None:
    """Nothing runs or waits any more, and a full set runs at the same time."""
    time.sleep(1)
    left = {name: value for name, value in server.metrics().items() if name.startswith(("tertulia_generations_running", "tertulia_generation_queue_length"))}
    if len(left) != 2 or any(left.values()):
        problems.append(f"left behind: {left}")
    body = {"prompt": "Once upon a time", "max_new_tokens": 300, "temperature": 1.3, "top_p": 1, "stream": True}
    # A text that the model does not end itself is long enough to see others beside it; with its seed it is the same again.
    for seed in range(0, 20 * PLACES, PLACES):
        streams = run_full_set(server, [{**body, "seed": seed + number} for number in range(PLACES)])
        answers = [http_streams.events_of(http_streams.body_of(stream)[1])[-1] for stream in streams]
        long = [json.loads(data) for event, data in answers if event == "done" and json.loads(data)["finish_reason"] == "length"]
        if long:
            break
    else:
        problems.append("no text was long enough to see whether others run beside it")
        return
    streams = run_full_set(server, [{**body, "seed": long[0]["seed"]}] * PLACES)
    begun, ended = [stream.first_text_at for stream in streams], [stream.ended_at for stream in streams]
    if None in begun or max(begun) > min(ended):
        problems.append(f"of {PLACES} texts not all ran at the same time")


def run_full_set(server: Server, bodies: list[dict]) -> list[http_streams.Stream]:
    requests = [server.request(number % USERS, body, f"last-{number}") for number, body in enumerate(bodies)]
    return http_streams.run(server.port, requests, timeout_seconds=60)[1]


def main() -> None:
    minutes = float(os.environ.get("SOAK_MINUTES") or 10)
    if not 0.5 <= minutes <= 24 * 60:
        raise SystemExit("SOAK_MINUTES must be between 0.5 and 1440")
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbits(32))
    print(f"soak for {minutes:g} minutes, SOAK_SEED={seed}", flush=True)
    server = Server()
    try:
        crowd = Crowd(server, random.Random(seed))
        memory = crowd.run(60 * minutes)
        check_ends(server, crowd)
        check_memory(memory, crowd.problems)
        check_places(server, crowd.problems)
        if server.process.poll() is not None:
            crowd.problems.append(f"the server ended with {server.process.returncode}")
    finally:
        server.stop()
    for problem in crowd.problems[:20]:
        print(f"problem: {problem}", file=sys.stderr)
    if crowd.problems:
        raise SystemExit(f"{len(crowd.problems)} problems")
    print(f"{crowd.sent} requests, no problem")


if __name__ == "__main__":
    main()
