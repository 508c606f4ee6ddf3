"""How fast this machine reads memory, and how many tokens a second of one stream that allows at most.

To make one token every weight of the matrices has to be read once, so one stream cannot be faster than bandwidth divided by
the size of the weights. Keys and values, activations and scales come on top; the bound leaves them out.
"""

from __future__ import annotations

import os

# Before numpy is loaded: each thread is to do its own part alone.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys
import threading
import time

import numpy
from make_models import LAYERS, VOCABULARY, WIDTH

# The matrices of all layers and the head; of the embedding only a row is read.
WEIGHTS_READ = LAYERS * 12 * WIDTH * WIDTH + VOCABULARY * WIDTH
# Per thread, far beyond any cache.
FLOATS = 128 * 1024 * 1024


def gigabytes_per_second(threads: int, repetitions: int = 3) -> float:
    """The best of some repetitions: all threads at once sum up the squares of arrays of their own (numpy lets go of its lock)."""
    arrays = [numpy.ones(FLOATS, numpy.float32) for _ in range(threads)]
    best = 0.0
    for _ in range(repetitions):
        workers = [threading.Thread(target=numpy.dot, args=(array, array)) for array in arrays]
        begun = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, sum(array.nbytes for array in arrays) / (time.perf_counter() - begun) / 1e9)
    return best


def bound(bandwidth: float, bytes_per_weight: float) -> float:
    """Tokens a second of one stream."""
    return bandwidth * 1e9 / (WEIGHTS_READ * bytes_per_weight)


if __name__ == "__main__":
    print(gigabytes_per_second(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
