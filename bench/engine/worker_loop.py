"""A peer without a server of its own runs in a process of its own and is asked through its standard input, a JSON line a question.

Every question is "continue these prompts greedily by so many tokens"; the answer is the seconds it took. The prompts arrive
as token ids, the continuation never ends early. Only the work between question and answer is timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

# Continues prompts by a number of tokens each; answers how many tokens that made.
Generate = Callable[[list[list[int]], int], int]


def serve(load: Callable[[], Generate]) -> None:
    # Libraries print to standard output as they please; only answers may go to the harness.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    begun = time.perf_counter()
    generate = load()
    answer(answers, {"load_seconds": time.perf_counter() - begun})
    for line in sys.stdin:
        question = json.loads(line)
        begun = time.perf_counter()
        tokens = generate(question["prompts"], question["new_tokens"])
        answer(answers, {"seconds": time.perf_counter() - begun, "tokens": tokens})


def answer(answers, value: dict) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()
