"""Writes the embeddings that `transformers` gives for the fixtures' prompts, so that the Rust engine can be held to them.

An embedding here is the mean of the hidden states after the model's last norm, over all tokens of a text, divided by its
length (L2): what llama.cpp's server calls pooling by mean. The models are those that `generate.py` made, and the bundled one;
the prompts are theirs. Run by hand, after `generate.py` and with the same requirements.
"""

from __future__ import annotations

import json

import torch
import transformers

from generate import BUNDLED, FIXTURES, random_models, write_json

DIGITS = 8


def mean_of(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    """The mean of the hidden states, in fp32. `base_model` ends with the last norm."""
    with torch.no_grad():
        return model.base_model(torch.tensor([tokens]), use_cache=False).last_hidden_state[0].mean(dim=0)


def expected_of(name: str) -> list[dict]:
    folder = BUNDLED if name == "bundled" else FIXTURES / name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = json.loads((FIXTURES / name / "expected.json").read_text(encoding="utf-8"))["prompts"]
    entries = []
    for prompt in prompts:
        mean = mean_of(model, prompt["tokens"])
        # What is normalised and given to the head must be what the logits come from: the last row of both must agree.
        hidden = model.base_model(torch.tensor([prompt["tokens"]]), use_cache=False).last_hidden_state[0, -1]
        logits = model(torch.tensor([prompt["tokens"]]), use_cache=False).logits[0, -1]
        assert float((model.lm_head(hidden) - logits).detach().abs().max()) < 1e-4, f"{name}: not the head's input"
        embedding = torch.nn.functional.normalize(mean, dim=0)
        entry = {"tokens": prompt["tokens"], "embedding": [round(float(value), DIGITS) for value in embedding]}
        entries.append(({"text": prompt["text"]} if "text" in prompt else {}) | entry)
    return entries


def main() -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    names = ["bundled", *(spec.name for spec in random_models())]
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    folder = FIXTURES / "embeddings"
    folder.mkdir(exist_ok=True)
    write_json(folder / "expected.json", {"made_with": versions, "models": {name: expected_of(name) for name in names}})


if __name__ == "__main__":
    main()
