"""Hugging Face transformers on PyTorch, fp32: `worker_transformers.py MODEL_FOLDER THREADS SLOTS`."""

import sys

import torch
import transformers
from worker_loop import Generate, serve


def load() -> Generate:
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(prompts: list[list[int]], new_tokens: int) -> int:
        # The prompts of one question are equally long, so that nothing is padded.
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            output = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_tokens, pad_token_id=0, use_cache=True
            )
        return output.shape[0] * (output.shape[1] - ids.shape[1])

    return generate


if __name__ == "__main__":
    serve(load)
