"""Measures the engine beside its peers and writes the tables of docs/PERFORMANCE.md. `make bench-engine` calls it; README.md explains it."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import fairness
import report
import roofline
from prompts import Passages
from systems import ROOT, HighWater, LlamaCppServer, System, Tertulia, Worker

SHORT_PROMPT, LONG_PROMPT, WARM_PREFIX, STREAMS = 32, 512, 500, 16


def systems_of(models: Path, threads: int, settings: dict[str, str], ours: list[str]) -> list[System]:
    hf = models / "hf"
    return [
        *(Tertulia(f"Tertulia {precision}", hf, precision, settings) for precision in ours),
        Worker("CTranslate2 int8", "worker_ctranslate2.py", models / "ct2", threads),
        Worker("llama.cpp Q8_0", "worker_llama_cpp.py", models / "q8_0.gguf", threads),
        Worker("llama.cpp Q4_0", "worker_llama_cpp.py", models / "q4_0.gguf", threads),
        LlamaCppServer("llama.cpp Q8_0, its Python server", models / "q8_0.gguf", threads),
        Worker("transformers fp32", "worker_transformers.py", hf, threads),
    ]


def measure_memory(system: System, passages: Passages, new_tokens: int) -> dict:
    """Each in a fresh process: after one stream, and the most while sixteen prompts of 512 tokens are read and continued."""
    found = {}
    for kind, streams, prompt in (("resident_1", 1, SHORT_PROMPT), (f"resident_{STREAMS}", STREAMS, LONG_PROMPT)):
        system.start(streams)
        try:
            with HighWater(system) as most:
                system.generate([passages.take(prompt) for _ in range(streams)], new_tokens)
            found[kind] = most.bytes
            # The second start: by now weights that were converted are found again, and the files are in memory.
            found["load_seconds"] = system.load_seconds
        finally:
            system.stop()
    return found


def measure_round(system: System, passages: Passages, new_tokens: int, samples: dict[str, list[float]]) -> None:
    one = system.generate([passages.take(SHORT_PROMPT)], new_tokens)
    samples["one_stream"].append(one.tokens / one.seconds)
    many = system.generate([passages.take(SHORT_PROMPT) for _ in range(STREAMS)], new_tokens)
    samples["many_streams"].append(many.tokens / many.seconds)
    long = passages.take(LONG_PROMPT)
    # A peer in the process is asked for one token; a stream for a few, so that incomplete characters do not hold the first back.
    asked = 4 if system.over_http else 1
    samples["first_token_ms"].append(1000 * system.generate([long], asked).first_text_seconds)
    if system.over_http:
        warm = system.generate([passages.branch(long, WARM_PREFIX)], asked)
        samples["warm_first_token_ms"].append(1000 * warm.first_text_seconds)


def measure_rounds(
    systems: list[System], passages: Passages, rounds: int, new_tokens: int, engine_command: str | None
) -> dict[str, dict[str, list[float]]]:
    """All systems stay loaded and take turns; who begins changes from round to round. The machine's speed drifts, the ratios less."""
    samples: dict[str, dict[str, list[float]]] = {system.name: defaultdict(list) for system in systems}
    samples["machine"] = defaultdict(list)
    try:
        for system in systems:
            system.start(STREAMS)
            system.generate([passages.take(SHORT_PROMPT)], 4)
        for number in range(rounds):
            samples["machine"]["gigabytes_per_second"].append(roofline.gigabytes_per_second(os.cpu_count() or 2))
            first = number % len(systems)
            for system in systems[first:] + systems[:first]:
                # Threads of the one before may still spin.
                time.sleep(0.5)
                measure_round(system, passages, new_tokens, samples[system.name])
                if system.name == report.OURS and engine_command:
                    samples[system.name]["engine_alone"].append(engine_alone(engine_command, passages))
            print(f"round {number + 1} of {rounds}: " + report.one_line(samples), flush=True)
    finally:
        for system in systems:
            if hasattr(system, "process"):
                system.stop()
    return samples


def wait_until_quiet(allowed_load: float = 0.5, patience_seconds: int = 300) -> float:
    """The machine's load before the run. Two threads that share their cores with a compiler run at a tenth of their speed;
    the load of the build or the set-up just before takes some minutes to fade."""
    begun = time.monotonic()
    while (load := os.getloadavg()[0]) > allowed_load:
        if time.monotonic() - begun > patience_seconds:
            raise SystemExit(f"{load:.1f} programs are running beside this one: try again on a quiet machine, or say --even-if-busy")
        time.sleep(5)
    return load


def engine_alone(command: str, passages: Passages) -> float:
    """Tokens a second of our engine without HTTP, as a command of the project prints them: it reads a JSON list of prompts and ends
    with a line of JSON that has `tokens_per_second`."""
    prompts = json.dumps([passages.take(SHORT_PROMPT).text for _ in range(STREAMS)])
    time.sleep(0.5)
    output = subprocess.run(command, shell=True, check=True, input=prompts, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    return float(json.loads(output.strip().splitlines()[-1])["tokens_per_second"])


def perplexities() -> dict[str, float] | None:
    """The bundled model's perplexity at each precision, if the program that measures it was built: see engine.sh."""
    program = ROOT / "target/release/examples/perplexity"
    if not program.exists():
        return None
    return json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout)


def machine() -> dict[str, str]:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "").split()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    wanted = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if flag in flags]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    return {
        "processor": f"{model}, {os.cpu_count()} virtual cores ({', '.join(wanted)})",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit or "none",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / ".cache/bench-models")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--ours", nargs="*", default=["int8"], choices=["fp32", "int8", "int4"], help="our precisions; none to measure the peers alone")
    parser.add_argument("--systems", nargs="*", help="only those whose name contains one of these")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="a setting for our server")
    parser.add_argument("--engine-alone", metavar="COMMAND", help="prints our engine's own tokens/s at 16 streams")
    parser.add_argument("--fairness-rounds", type=int, default=4, help="0 to leave that measurement out")
    parser.add_argument("--even-if-busy", action="store_true", help="measure although other programs are running")
    parser.add_argument("--dry-run", action="store_true", help="print the tables, leave docs/PERFORMANCE.md as it is")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    load = os.getloadavg()[0] if chosen.even_if_busy else wait_until_quiet()
    settings = dict(setting.split("=", 1) for setting in chosen.setting)
    systems = systems_of(chosen.models, chosen.threads, settings, chosen.ours)
    if chosen.systems:
        systems = [system for system in systems if any(part.lower() in system.name.lower() for part in chosen.systems)]
    passages = Passages(chosen.models / "hf/tokenizer.json")
    memory = {}
    for system in systems:
        memory[system.name] = measure_memory(system, passages, min(chosen.new_tokens, 32))
        print(f"{system.name}: {memory[system.name]}", flush=True)
    samples = measure_rounds(systems, passages, chosen.rounds, chosen.new_tokens, chosen.engine_alone)
    fair = None
    if "int8" in chosen.ours and chosen.fairness_rounds:
        # With the limits a server has unless told otherwise.
        usual = {"MAX_RUNNING_PER_USER": "8", "MAX_QUEUED_GENERATIONS": "128", **settings}
        fair = fairness.measure(Tertulia(report.OURS, chosen.models / "hf", "int8", usual), passages, chosen.fairness_rounds)
    quality = perplexities() if chosen.ours else None
    options = {"load_before": round(load, 2), "rounds": chosen.rounds, "new_tokens": chosen.new_tokens, "threads": chosen.threads, "settings": settings}
    results = {"machine": machine(), "options": options, "memory": memory, "samples": samples, "fairness": fair, "quality": quality}
    kept = chosen.models / "results.json"
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = report.markdown(results)
    print(text)
    if not chosen.dry_run:
        report.write(ROOT / "docs/PERFORMANCE.md", text)


if __name__ == "__main__":
    main()
