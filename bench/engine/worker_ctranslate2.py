"""CTranslate2, int8 weights: `worker_ctranslate2.py MODEL_FOLDER THREADS SLOTS`."""

import json
import sys

import ctranslate2
from worker_loop import Generate, serve


def load() -> Generate:
    folder, threads = sys.argv[1], int(sys.argv[2])
    generator = ctranslate2.Generator(folder, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)
    with open(f"{folder}/vocabulary.json", encoding="utf-8") as file:
        vocabulary = json.load(file)

    def generate(prompts: list[list[int]], new_tokens: int) -> int:
        results = generator.generate_batch(
            [[vocabulary[token] for token in prompt] for prompt in prompts],
            max_batch_size=0, beam_size=1, sampling_topk=1, include_prompt_in_result=False, cache_static_prompt=False,
            max_length=new_tokens, min_length=new_tokens,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    return generate


if __name__ == "__main__":
    serve(load)
