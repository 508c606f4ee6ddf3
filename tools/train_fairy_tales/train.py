"""Trains the fairy-tales model and writes it as a folder in Hugging Face's layout. README.md says how and how long."""

from __future__ import annotations

import argparse
import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy
import torch
import transformers
from corpus import joined, read_corpus, split_tales, token_ids, train_tokenizer
from perplexity import negative_log_likelihood


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out."""

    vocabulary: int
    positions: int
    width: int
    layers: int
    heads: int
    dropout: float
    steps: int
    sequences_per_step: int
    tokens_per_sequence: int
    learning_rate: float
    warm_up_steps: int = 100
    final_learning_rate_ratio: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_norm: float = 1.0
    measure_every: int = 250
    stored_as: str = "float32"
    seed: int = 1


RECIPES = {
    # What ships with the project: two CPU cores, about 40 minutes.
    "small": Recipe(
        vocabulary=2048, positions=512, width=128, layers=5, heads=4, dropout=0.1, steps=2125, sequences_per_step=16,
        tokens_per_sequence=512, learning_rate=3e-3,
    ),
    # For a GPU: 17.7 million parameters, 35 MB as fp16. The corpus is small for it, hence the dropout; the state with the
    # best validation loss is the one that is kept.
    "large": Recipe(
        vocabulary=8192, positions=1024, width=384, layers=8, heads=6, dropout=0.25, steps=4000, sequences_per_step=32,
        tokens_per_sequence=1024, learning_rate=1e-3, warm_up_steps=200, stored_as="float16",
    ),
}


def build_model(recipe: Recipe) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=recipe.vocabulary, n_positions=recipe.positions, n_embd=recipe.width, n_layer=recipe.layers,
        n_head=recipe.heads, resid_pdrop=recipe.dropout, embd_pdrop=recipe.dropout, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def build_optimizer(model: torch.nn.Module, recipe: Recipe, device: str) -> torch.optim.AdamW:
    """AdamW that pulls matrices towards zero, and leaves biases and norms alone."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=device == "cuda")


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """A straight line up, then half a cosine down."""
    if step < recipe.warm_up_steps:
        return recipe.learning_rate * (step + 1) / recipe.warm_up_steps
    done = (step - recipe.warm_up_steps) / max(1, recipe.steps - recipe.warm_up_steps)
    lowest = recipe.learning_rate * recipe.final_learning_rate_ratio
    return lowest + (recipe.learning_rate - lowest) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def batch_at_random(tokens: torch.Tensor, recipe: Recipe, generator: torch.Generator, device: str) -> torch.Tensor:
    """`[sequences, tokens]`: windows that begin anywhere in the training text."""
    length = recipe.tokens_per_sequence
    starts = torch.randint(len(tokens) - length, (recipe.sequences_per_step,), generator=generator)
    return torch.stack([tokens[start : start + length] for start in starts]).to(device, non_blocking=True)


def train(recipe: Recipe, training: numpy.ndarray, held_out: numpy.ndarray, device: str) -> tuple[torch.nn.Module, dict]:
    """The model at its best validation loss, and the record of how it got there."""
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = build_model(recipe).to(device)
    optimizer = build_optimizer(model, recipe, device)
    tokens = torch.from_numpy(training)
    autocast = torch.autocast(device, dtype=torch.bfloat16) if bfloat16_helps(device) else nullcontext()
    best_loss, best_state, history, begun = math.inf, None, [], time.monotonic()
    for step in range(recipe.steps):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, recipe)
        batch = batch_at_random(tokens, recipe, generator, device)
        with autocast:
            loss = model(batch, labels=batch).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
        optimizer.step()
        if (step + 1) % recipe.measure_every == 0 or step + 1 == recipe.steps:
            validation_loss, _ = negative_log_likelihood(model, held_out, recipe.positions)
            seconds = time.monotonic() - begun
            history.append({"step": step + 1, "training_loss": round(float(loss.detach()), 4), "validation_loss": round(validation_loss, 4)})
            print(f"step {step + 1:5}  training {float(loss.detach()):.4f}  validation {validation_loss:.4f}  {seconds:.0f} s", flush=True)
            if validation_loss < best_loss:
                best_loss, best_state = validation_loss, {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    model.cpu().load_state_dict(best_state)
    return model, {"validation_loss": best_loss, "seconds": round(time.monotonic() - begun), "history": history}


def bfloat16_helps(device: str) -> bool:
    """On a GPU, and on CPUs with instructions for it; elsewhere it is emulated and slower than fp32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu.get_capabilities().get("avx512_bf16", False)


def write_folder(folder: Path, model: torch.nn.Module, tokenizer, recipe: Recipe, report: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stored = model.to(getattr(torch, recipe.stored_as))
    stored.config.dtype = recipe.stored_as
    stored.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written as 0600, which a server with a user of its own could not read
    tokenizer.save(str(folder / "tokenizer.json"))
    record = {"recipe": asdict(recipe), "parameters": model.num_parameters(), "torch": torch.__version__, **report}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("folder", type=Path, help="where the model is written")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, help="fewer or more than the recipe's; the schedule stretches with it")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--stored-as", choices=["float32", "float16", "bfloat16"])
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    changes = {"steps": chosen.steps, "seed": chosen.seed, "stored_as": chosen.stored_as}
    recipe = replace(RECIPES[chosen.recipe], **{name: value for name, value in changes.items() if value is not None})
    text = read_corpus()
    tokenizer = train_tokenizer(text, recipe.vocabulary)
    training, held_out = (token_ids(tokenizer, joined(part)) for part in split_tales(text))
    print(f"{len(training)} tokens to train on, {len(held_out)} held out, on {chosen.device}", flush=True)
    model, report = train(recipe, training, held_out, chosen.device)
    report["device"] = chosen.device
    write_folder(chosen.folder, model, tokenizer, recipe, report)
    print(f"{model.num_parameters()} parameters, validation loss {report['validation_loss']:.4f} nats a token, in {chosen.folder}")


if __name__ == "__main__":
    main()
