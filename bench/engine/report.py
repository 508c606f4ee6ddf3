"""Turns measurements into the tables of docs/PERFORMANCE.md: what was found, and what was to be reached."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import roofline

BEGIN, END = "<!-- bench-engine: begin, written by `make bench-engine` -->", "<!-- bench-engine: end -->"
HEADER = "# Performance\n\nWhat was measured, on which machine, and by which command.\n\n"
OURS, CTRANSLATE2, LLAMA, LLAMA_SERVER, TRANSFORMERS = (
    "Tertulia int8", "CTranslate2 int8", "llama.cpp Q8_0", "llama.cpp Q8_0, its Python server", "transformers fp32",
)
EIGHT_BIT_PEERS = (CTRANSLATE2, LLAMA, LLAMA_SERVER)


def one_line(samples: dict) -> str:
    rates = [f"{name} {values['one_stream'][-1]:.0f} / {values['many_streams'][-1]:.0f}" for name, values in samples.items() if name != "machine"]
    return ", ".join(rates) + f" tokens/s, {samples['machine']['gigabytes_per_second'][-1]:.0f} GB/s"


def median_and_range(values: list[float], digits: int = 0) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def markdown(results: dict) -> str:
    machine, options, samples, memory = (results[key] for key in ("machine", "options", "samples", "memory"))
    settings = "".join(f", {name}={value}" for name, value in options["settings"].items())
    bandwidth = samples["machine"]["gigabytes_per_second"]
    lines = [
        "## The engine beside its peers",
        "",
        f"GPT-2 124M with random weights, prompts of 32 tokens and {options['new_tokens']} greedy tokens unless said otherwise, "
        f"{options['threads']} threads each, {options['rounds']} interleaved rounds: median (least–most). "
        f"{machine['date']}, commit {machine['commit']}, `make bench-engine`{settings}.",
        "",
        f"Machine: {machine['processor']}, {machine['memory']}, {machine['system']}; reads memory at "
        f"{median_and_range(bandwidth)} GB/s. Load before the run: {options['load_before']}.",
        "",
        "| system | 1 stream, tokens/s | 16 streams, tokens/s | first token of 512, ms | the same with 500 of them warm, ms | memory, 1 stream, MB | memory, 16 × 512, MB | load, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, values in samples.items():
        if name == "machine":
            continue
        kept = memory[name]
        cells = [
            name,
            median_and_range(values["one_stream"]),
            median_and_range(values["many_streams"]),
            median_and_range(values["first_token_ms"]),
            median_and_range(values.get("warm_first_token_ms", [])),
            f"{kept['resident_1'] / 1e6:,.0f}",
            f"{kept['resident_16'] / 1e6:,.0f}",
            f"{kept['load_seconds']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Tertulia and llama-cpp-python's server answer over HTTP with server-sent events, Tertulia with sign-in, database and history; "
        "the others run in a process of their own without a server. Load is until the first request is answered for servers, the "
        "model alone for the others. Memory is the process's resident set, mapped files included.",
        "",
        *targets(results),
        *quality_table(results.get("quality")),
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Target:
    """What is to be reached: `found` compared with `bound`, as a ratio."""

    text: str
    found: float | None
    bound: float | None
    at_least: bool

    def row(self) -> str:
        if self.found is None or not self.bound:
            return f"| {self.text} | – | – | not measured |"
        ratio = self.found / self.bound
        reached = ratio >= 1 if self.at_least else ratio <= 1
        verdict = "reached" if reached else f"missed: {ratio:.2f} of it"
        return f"| {self.text} | {self.bound:,.5g} | {self.found:,.5g} | {verdict} |"


def targets(results: dict) -> list[str]:
    """The table of what was to be beaten. A ratio to a peer is the median of the ratios round by round."""
    samples, memory = results["samples"], results["memory"]
    if OURS not in samples:
        return []

    def median(name: str, kind: str) -> float | None:
        values = samples.get(name, {}).get(kind)
        return statistics.median(values) if values else None

    def ratio(kind: str, other: list[float] | None) -> float | None:
        return statistics.median([mine / theirs for mine, theirs in zip(samples[OURS][kind], other, strict=True)]) if other else None

    def against(kind: str, peer: str) -> float | None:
        return ratio(kind, samples.get(peer, {}).get(kind))

    bounds = [roofline.bound(value, 1) for value in samples["machine"]["gigabytes_per_second"]]
    firsts = [value for value in (median(peer, "first_token_ms") for peer in EIGHT_BIT_PEERS) if value]
    warm = ratio("warm_first_token_ms", samples[OURS]["first_token_ms"])
    alone = samples[OURS].get("engine_alone")

    def memory_against(kind: str, peer: str) -> float | None:
        return memory[OURS][kind] / memory[peer][kind] if peer in memory else None

    rows = [
        Target("16 streams: × CTranslate2 int8", against("many_streams", CTRANSLATE2), 1.5, True),
        Target("16 streams: × llama.cpp Q8_0", against("many_streams", LLAMA), 2, True),
        Target("16 streams: × transformers fp32", against("many_streams", TRANSFORMERS), 4, True),
        Target("1 stream: × llama.cpp Q8_0", against("one_stream", LLAMA), 1.2, True),
        Target("1 stream: × transformers fp32", against("one_stream", TRANSFORMERS), 5, True),
        Target(f"1 stream: part of the bandwidth bound ({median_and_range(bounds)} tokens/s)", ratio("one_stream", bounds), 0.85, True),
        Target("first token of 512: × the best 8-bit peer", median(OURS, "first_token_ms") / min(firsts) if firsts else None, 0.8, False),
        Target("first token with 500 of 512 warm: × cold", warm, 0.1, False),
        Target("memory, 1 stream: × llama.cpp Q8_0, its Python server", memory_against("resident_1", LLAMA_SERVER), 0.9, False),
        Target("memory, 1 stream: × llama.cpp Q8_0, without a server", memory_against("resident_1", LLAMA), 0.9, False),
        Target("memory, 16 × 512: × llama.cpp Q8_0, without a server", memory_against("resident_16", LLAMA), 0.9, False),
        Target("HTTP and everything around, 16 streams: × the engine alone", ratio("many_streams", alone), 0.95, True),
        *fairness_target(results.get("fairness")),
        *quality_target(results.get("quality")),
        Target("load from the local folder, warm disk, s", memory[OURS]["load_seconds"], 0.5, False),
    ]
    return ["| to beat | target | found | |", "|---|---|---|---|", *(row.row() for row in rows)]


def quality_target(quality: dict | None) -> list[Target]:
    return [Target("perplexity of int8: × fp32", quality["int8"] / quality["fp32"], 1.005, False)] if quality else []


def quality_table(quality: dict | None) -> list[str]:
    if not quality:
        return []
    rows = [f"| {name} | {quality[name]:.3f} | {100 * (quality[name] / quality['fp32'] - 1):+.2f} % |" for name in ("pytorch", "fp32", "int8", "int4")]
    return [
        "",
        "The bundled model's perplexity on the held-out tales (57,232 tokens; `tools/train_fairy_tales/perplexity.py` says how, and gave "
        "PyTorch's value, at fp32):",
        "",
        "| precision | perplexity | against fp32 |",
        "|---|---|---|",
        *rows,
    ]


def fairness_target(fair: dict | None) -> list[Target]:
    """The first token of a user beside another who keeps 64 long requests queued: within twice its idle value and a step."""
    if not fair:
        return []
    idle, beside, step = statistics.median(fair["idle_ms"]), statistics.median(fair["beside_ms"]), fair["step_ms"]
    text = (
        f"first token, ms, while another user keeps {fair['queued']} long requests queued (range {min(fair['beside_ms']):.0f}–"
        f"{max(fair['beside_ms']):.0f}); 2 × its idle value ({idle:.0f}) and one step ({step:.0f})"
    )
    return [Target(text, beside, 2 * idle + step, False)]


def write(file: Path, text: str) -> None:
    """Puts the tables between their marks; the rest of the file stays as people wrote it."""
    present = file.read_text(encoding="utf-8") if file.exists() else HEADER
    section = f"{BEGIN}\n{text}{END}"
    if BEGIN in present and END in present:
        before, rest = present.split(BEGIN, 1)
        present = before + section + rest.split(END, 1)[1]
    else:
        present = present.rstrip("\n") + "\n\n" + section + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(present, encoding="utf-8")
