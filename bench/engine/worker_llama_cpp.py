"""llama.cpp through its C interface: `worker_llama_cpp.py FILE.gguf THREADS SLOTS`.

llama-cpp-python's server works on one request at a time. Here its batch interface is used as llama.cpp's own server uses
it: the prompts of all sequences are read in batches of up to 512 tokens, then every step decodes one token of each.
"""

import sys

import llama_cpp
from worker_loop import Generate, serve

BATCH_TOKENS = 512
TOKENS_PER_SLOT = 640


def load() -> Generate:
    file, threads, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = TOKENS_PER_SLOT * slots
    parameters.n_batch = BATCH_TOKENS
    parameters.n_ubatch = BATCH_TOKENS
    parameters.n_seq_max = slots
    parameters.n_threads = threads
    parameters.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, parameters)
    sampler = llama_cpp.llama_sampler_init_greedy()
    batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def decode(entries: list[tuple[int, int, int, bool]]) -> list[int]:
        """Reads (token, position, sequence, wanted) and answers the likeliest token after each wanted one."""
        batch.n_tokens = len(entries)
        for row, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
            batch.seq_id[row][0], batch.logits[row] = sequence, wanted
        status = llama_cpp.llama_decode(context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")
        return [llama_cpp.llama_sampler_sample(sampler, context, row) for row, entry in enumerate(entries) if entry[3]]

    def generate(prompts: list[list[int]], new_tokens: int) -> int:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        entries = [
            (token, position, sequence, position == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        latest: list[int] = []
        for start in range(0, len(entries), BATCH_TOKENS):
            latest += decode(entries[start : start + BATCH_TOKENS])
        for step in range(new_tokens - 1):
            latest = decode([(token, len(prompts[sequence]) + step, sequence, True) for sequence, token in enumerate(latest)])
        return len(prompts) * new_tokens

    generate.keep_alive = (model, quiet)
    return generate


if __name__ == "__main__":
    serve(load)
