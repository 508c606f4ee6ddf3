"""The systems that are compared, each behind the same three verbs: start, generate, stop."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import http_streams
from prompts import Passage

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Answer:
    seconds: float
    tokens: int
    # Until the first piece of text arrived; for a peer in the process, which has no stream, the time of a one-token answer.
    first_text_seconds: float | None


class System:
    """A process, its memory, and the seconds it took until it could answer."""

    name: str
    # Whether what is measured went through HTTP.
    over_http = False
    load_seconds: float
    process: subprocess.Popen

    def start(self, slots: int) -> None:
        raise NotImplementedError

    def generate(self, passages: list[Passage], new_tokens: int) -> Answer:
        raise NotImplementedError

    def resident_bytes(self) -> int:
        """Resident pages, those of mapped files among them; of the process and what it started."""
        return sum(resident_bytes_of(process) for process in with_children(self.process.pid))

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Worker(System):
    """A peer in a process of its own, without HTTP: see worker_loop.py. This leaves it the cost of a server."""

    def __init__(self, name: str, script: str, model: Path, threads: int):
        self.name, self._script, self._model, self._threads = name, script, model, threads

    def start(self, slots: int) -> None:
        command = [sys.executable, str(HERE / self._script), str(self._model), str(self._threads), str(slots)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.load_seconds = self._answer()["load_seconds"]

    def generate(self, passages: list[Passage], new_tokens: int) -> Answer:
        question = {"prompts": [passage.tokens for passage in passages], "new_tokens": new_tokens}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        return Answer(answer["seconds"], answer["tokens"], answer["seconds"] if new_tokens == 1 else None)

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)


class Server(System):
    """A system behind HTTP on loopback."""

    over_http = True
    path: str

    def launch(self, command: list[str], environment: dict[str, str], ready: str) -> None:
        """Starts it and waits until `ready` answers 200."""
        begun = time.perf_counter()
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=self.log, stderr=self.log, cwd=ROOT)
        while True:
            if self.process.poll() is not None or time.perf_counter() - begun > 120:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} does not answer: {self.log.read()[-2000:]}")
            try:
                if http_streams.call(self.port, "GET", ready)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.005)
        self.load_seconds = time.perf_counter() - begun

    def generate(self, passages: list[Passage], new_tokens: int) -> Answer:
        requests = [
            http_streams.post(self.port, self.path, self.headers(place), json.dumps(self.body(passage, new_tokens)).encode())
            for place, passage in enumerate(passages)
        ]
        begun, streams = http_streams.run(self.port, requests)
        tokens = sum(self.tokens_of(*http_streams.body_of(stream), new_tokens) for stream in streams)
        first = min(stream.first_text_at for stream in streams) - begun
        return Answer(max(stream.ended_at for stream in streams) - begun, tokens, first)

    def headers(self, place: int) -> dict[str, str]:
        """Those of the request that is sent as this one of many."""
        return {"Content-Type": "application/json", "Accept": "text/event-stream"}

    def body(self, passage: Passage, new_tokens: int) -> dict:
        raise NotImplementedError

    def tokens_of(self, status: int, body: str, asked: int) -> int:
        raise NotImplementedError


# As many as streams at the most; guests may ask sixty times a minute.
MOST_USERS = 16


class Tertulia(Server):
    """Ours, as `make run` starts it; every stream is another user's."""

    path = "/text_generations"

    def __init__(self, name: str, model: Path, precision: str, settings: dict[str, str]):
        self.name, self._model, self._precision, self._settings = name, model, precision, settings
        self.binary = Path(os.environ.get("TERTULIA_BINARY", ROOT / "target/release/tertulia"))

    def start(self, slots: int) -> None:
        self.port = free_port()
        self._data = tempfile.mkdtemp(prefix="tertulia-bench-")
        limits = {
            # Signed in for as long as the rounds take.
            "REQUESTS_PER_MINUTE": "1000000", "MAX_RUNNING_PER_USER": "64", "MAX_QUEUED_GENERATIONS": "256",
            "ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
        }
        settings = {
            "HOST": "127.0.0.1", "PORT": str(self.port), "DATA_DIR": self._data, "LLM_ID": f"file:{self._model}",
            "LLM_PRECISION": self._precision, "LOG_LEVEL": "warn", "SECRET_KEY": secrets.token_hex(32), **limits, **self._settings,
        }
        self.launch([str(self.binary), "serve"], settings, "/readyz")
        self._signed_in = [self.sign_in(f"bench{place}") for place in range(min(slots, MOST_USERS))]

    def sign_in(self, name: str) -> dict[str, str]:
        """The headers of a new user's requests."""
        password = secrets.token_hex(16)
        body = json.dumps({"username": name, "password": password}).encode()
        status, _ = http_streams.call(self.port, "POST", "/users", body, {"Content-Type": "application/json"})
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        signed_in, token = http_streams.call(self.port, "POST", "/token", f"username={name}&password={password}".encode(), form)
        if (status, signed_in) != (201, 200):
            raise RuntimeError(f"{self.name}: POST /users answered {status}, POST /token {signed_in}")
        return {**super().headers(0), "Authorization": f"Bearer {token['access_token']}"}

    def headers(self, place: int) -> dict[str, str]:
        return self._signed_in[place % len(self._signed_in)]

    def body(self, passage: Passage, new_tokens: int) -> dict:
        return {"prompt": passage.text, "max_new_tokens": new_tokens, "temperature": 0, "stream": True}

    def tokens_of(self, status: int, body: str, asked: int) -> int:
        records = [json.loads(data) for event, data in http_streams.events_of(body) if event == "done"]
        if status not in (200, 201) or len(records) != 1:
            raise RuntimeError(f"{self.name} answered {status}: {body[-500:]}")
        return records[0]["usage"]["completion_tokens"]

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._data, ignore_errors=True)


class LlamaCppServer(Server):
    """llama-cpp-python's own server. It works on one request at a time."""

    path = "/v1/completions"

    def __init__(self, name: str, model: Path, threads: int):
        self.name, self._model, self._threads = name, model, threads

    def start(self, slots: int) -> None:
        self.port = free_port()
        options = {
            "model": self._model, "n_ctx": 1024, "n_threads": self._threads, "n_threads_batch": self._threads, "host": "127.0.0.1",
            "port": self.port, "interrupt_requests": "false", "verbose": "false",
        }
        command = [sys.executable, "-m", "llama_cpp.server"] + [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.launch(command, {}, "/v1/models")

    def body(self, passage: Passage, new_tokens: int) -> dict:
        return {"prompt": passage.text, "max_tokens": new_tokens, "temperature": 0, "stream": True}

    def tokens_of(self, status: int, body: str, asked: int) -> int:
        events = [json.loads(data) for _, data in http_streams.events_of(body) if data != "[DONE]"]
        if status != 200 or not events or events[-1]["choices"][0]["finish_reason"] != "length":
            raise RuntimeError(f"{self.name} answered {status}: {body[-500:]}")
        return asked


class HighWater:
    """The most memory that a system held while something ran."""

    def __init__(self, system: System):
        self.bytes = 0
        self._system, self._done = system, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.bytes = max(self.bytes, self._system.resident_bytes())

    def __enter__(self) -> HighWater:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, self._system.resident_bytes())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def with_children(process: int) -> list[int]:
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += with_children(int(child))
    return found


def resident_bytes_of(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
