"""The perplexity of a model on the held-out tales, computed so that any implementation can compute the same.

The whole text of `validation.txt` is turned into tokens at once (`<|endoftext|>` is one of them, nothing is added), cut
into chunks of the model's context length that do not overlap, and what is left at the end is dropped. Each chunk is read
on its own from position 0; its first token is not scored, every other one is scored given those before it in the chunk.
The perplexity is the exponential of the mean negative log-likelihood, in nats, of all scored tokens.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy
import torch
import transformers
from corpus import HERE, VALIDATION, token_ids
from tokenizers import Tokenizer


def negative_log_likelihood(model: torch.nn.Module, tokens: numpy.ndarray, context: int) -> tuple[float, list[float]]:
    """The mean over all scored tokens, in nats, and the mean of each chunk."""
    model.eval()
    device = next(model.parameters()).device
    chunks = torch.from_numpy(tokens[: len(tokens) // context * context]).view(-1, context)
    means = []
    with torch.no_grad():
        for chunk in chunks:
            chunk = chunk.unsqueeze(0).to(device)
            logits = model(chunk).logits[0, :-1].float()
            means.append(float(torch.nn.functional.cross_entropy(logits, chunk[0, 1:])))
    return sum(means) / len(means), means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=HERE.parents[1] / "models/fairy-tales")
    parser.add_argument("--output", type=Path, default=HERE / "validation-perplexity.json")
    chosen = parser.parse_args()
    model = transformers.AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32)
    text = VALIDATION.read_text(encoding="utf-8")
    tokens = token_ids(Tokenizer.from_file(str(chosen.model / "tokenizer.json")), text)
    context = model.config.max_position_embeddings
    mean, of_chunks = negative_log_likelihood(model, tokens, context)
    scored = len(of_chunks) * (context - 1)
    record = {
        "method": " ".join(__doc__.split("\n\n")[1].split()),
        "model": chosen.model.name,
        "precision": "fp32",
        "characters": len(text),
        "tokens": len(tokens),
        "first_tokens": tokens[:16].tolist(),
        "context": context,
        "chunks": len(of_chunks),
        "scored_tokens": scored,
        "negative_log_likelihood": round(mean, 6),
        "perplexity": round(math.exp(mean), 5),
        "bits_per_character": round(mean * len(tokens) / len(text) / math.log(2), 4),
        "negative_log_likelihood_of_chunks": [round(value, 5) for value in of_chunks],
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    chosen.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{mean:.4f} nats a token, perplexity {math.exp(mean):.3f}, over {scored} tokens")


if __name__ == "__main__":
    main()
