"""Writes what `transformers` answers, so that the Rust engine can be held to it.

The fixtures are small models with random weights, in the layout in which Hugging Face stores models, and next to each of
them what PyTorch computes from the stored weights in fp32: logits and greedy continuations. They are committed; the Rust
tests need no Python. Run this by hand when a fixture is added or `transformers` is to be followed (README.md says how).

Random weights are drawn wide on purpose: with the usual standard deviation of 0.02 the logits of a small model are nearly
flat, a wrong attention mask would hardly move them, and the greedy continuation would hang on rounding. Here every greedy
step must win by `MINIMUM_MARGIN`; a seed that fails to is passed over for the next one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates/adapters-ml/tests/fixtures"
BUNDLED = ROOT / "models/fairy-tales"

# The least distance between the first and the second logit of every greedy step. The engine's fp32 logits may differ by
# 1e-4, so a smaller margin could turn the order around without anything being wrong.
MINIMUM_MARGIN = 5e-3
SEEDS_TO_TRY = 400


@dataclass(frozen=True)
class RandomModel:
    """A tiny model to draw, and how its weights are stored."""

    name: str
    config: transformers.PretrainedConfig
    prompts: list[list[int]]
    stored_as: torch.dtype = torch.float32
    files: int = 1
    new_tokens: int = 24
    standard_deviation: float = 0.25
    notes: str = ""
    first_seed: int = 1
    # Names as OpenAI's own checkpoint has them: `wte.weight` instead of `transformer.wte.weight`, plus mask buffers.
    original_gpt2_names: bool = False
    # config.json as it was written before transformers 5, which is what nearly every published model still has.
    older_config: bool = False


def random_models() -> list[RandomModel]:
    """Every fixture but `bundled`. Prompts of different lengths, so that they can share a batch; one has a single token."""
    return [
        RandomModel(
            name="gpt2-odd-a",
            config=transformers.GPT2Config(
                vocab_size=211, n_positions=64, n_embd=48, n_layer=2, n_head=3, layer_norm_epsilon=1e-5,
                bos_token_id=210, eos_token_id=210, **NO_DROPOUT,
            ),
            prompts=[[7], [3, 1, 4, 1, 5, 9, 2, 6], counting(40, 211, 17), [210, 0, 209, 209, 209]],
            notes="48 wide, 3 heads of 16, vocabulary and width that are no powers of two; the names of OpenAI's checkpoint",
            original_gpt2_names=True,
        ),
        RandomModel(
            name="gpt2-odd-b",
            config=transformers.GPT2Config(
                vocab_size=131, n_positions=48, n_embd=40, n_layer=3, n_head=5, n_inner=100, layer_norm_epsilon=1e-4,
                tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, **NO_DROPOUT,
            ),
            prompts=[[5], counting(9, 131, 11), counting(23, 131, 29)],
            stored_as=torch.float16,
            new_tokens=20,
            notes="40 wide, 5 heads of 8, n_inner of its own, layer_norm_epsilon 1e-4, a head of its own, stored as fp16",
        ),
        RandomModel(
            name="gpt2-distilled",
            config=transformers.GPT2Config(
                vocab_size=97, n_positions=96, n_embd=32, n_layer=1, n_head=2, activation_function="gelu_new",
                bos_token_id=96, eos_token_id=96, **NO_DROPOUT,
            ),
            prompts=[[11], counting(31, 97, 5), counting(60, 97, 13)],
            stored_as=torch.bfloat16,
            new_tokens=30,
            notes="one layer, 2 heads of 16, stored as bf16; the whole context of 96 is nearly used up",
        ),
        RandomModel(
            name="llama-tiny",
            config=transformers.LlamaConfig(
                vocab_size=199, hidden_size=64, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True,
                rope_parameters={
                    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
                },
                bos_token_id=197, eos_token_id=[198, 196],
            ),
            prompts=[[7], [3, 1, 4, 1, 5, 9, 2, 6], counting(90, 199, 31)],
            notes="4 heads of 16 over 2 key-value heads, RoPE scaled as in Llama 3.x, head tied, two end tokens",
            older_config=True,
        ),
        RandomModel(
            name="llama-tiny-untied",
            config=transformers.LlamaConfig(
                vocab_size=151, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3,
                num_key_value_heads=1, head_dim=32, max_position_embeddings=128, rms_norm_eps=1e-6,
                tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
                bos_token_id=1, eos_token_id=2,
            ),
            prompts=[[9], counting(12, 151, 7), counting(45, 151, 19)],
            stored_as=torch.bfloat16,
            files=3,
            notes="3 heads of 32 over one key-value head (heads wider than hidden_size / heads), head of its own, bf16, three files",
        ),
        RandomModel(
            name="mistral-tiny",
            config=transformers.MistralConfig(
                vocab_size=173, hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-5, sliding_window=16,
                tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
                bos_token_id=1, eos_token_id=2,
            ),
            stored_as=torch.float16,
            prompts=[[4], counting(10, 173, 3), counting(16, 173, 5), counting(17, 173, 9), counting(50, 173, 23)],
            notes="attention over a sliding window of 16 tokens, shorter than two of the prompts and than every continuation, stored as fp16",
        ),
        RandomModel(
            name="qwen2-tiny",
            config=transformers.Qwen2Config(
                vocab_size=181, hidden_size=64, intermediate_size=104, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=True,
                use_sliding_window=False, rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
                bos_token_id=179, eos_token_id=180,
            ),
            prompts=[[6], counting(14, 181, 3), counting(48, 181, 37)],
            stored_as=torch.float16,
            notes="biases on query, key and value, head tied, stored as fp16",
            older_config=True,
        ),
    ]


NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def counting(length: int, vocabulary: int, step: int) -> list[int]:
    """A prompt that visits many tokens without repeating itself soon, avoiding the last few ids (end tokens live there)."""
    return [(3 + index * step + index * index) % (vocabulary - 4) for index in range(length)]


# What a person might type into the bundled model: each checks something of the tokenizer as well as of the model.
BUNDLED_PROMPTS = {
    "english": "Once upon a time there was a",
    "spanish": "Érase una vez un niño que soñaba; ¿quién diría que la cigüeña volvería mañana?",
    "emoji": "The king laughed 😀 and the 👩‍👩‍👧 family waved 🇪🇸!",
    "one token": "A",
    "white space": "  The   wolf\n\n\tsaid:  'I'll come.'\r\n ",
    "code and digits": "if (x >= 10) { return 3.14159; } // añada 1001 gallinas",
    "other scripts": "昔々、あるところに。 Жили-были старик со старухою. कहानी",
    "marker of the end": "The end.<|endoftext|>Once",
}
# Positions of a prompt whose logits are kept: the first ones and the last ones.
BUNDLED_POSITIONS = (0, 1, -2, -1)


def draw_weights(model: torch.nn.Module, seed: int, standard_deviation: float) -> None:
    """Fills every weight, the norms' and the biases included, so that a term left out shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1 and "bias" not in name:
                parameter.copy_(1.0 + 0.2 * values)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * values)
            else:
                parameter.copy_(standard_deviation * values)


def stored_tensors(model: torch.nn.Module, spec: RandomModel) -> dict[str, torch.Tensor]:
    """The tensors as they go into the file: without what tying makes a copy of, in the type of the fixture."""
    tensors = {name: value.detach().to(spec.stored_as).contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    if spec.original_gpt2_names:
        tensors = {name.removeprefix("transformer."): value for name, value in tensors.items()}
        positions = model.config.n_positions
        for layer in range(model.config.n_layer):
            # OpenAI's files carry the causal mask of each layer as a tensor; a loader has to pass it over.
            tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, positions, positions, dtype=torch.float32))
    return tensors


def write_weights(folder: Path, tensors: dict[str, torch.Tensor], files: int) -> None:
    """One file, or several with the index that says which tensor lies where."""
    if files == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map = {}
    for number in range(files):
        file_name = f"model-{number + 1:05}-of-{files:05}.safetensors"
        # Dealt out one by one, so that a layer's tensors lie in different files.
        part = {name: tensors[name] for name in names[number::files]}
        save_file(part, folder / file_name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file_name))
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def spell_config_as_before(path: Path) -> None:
    """Turns `rope_parameters` and `dtype` into the `rope_theta`, `rope_scaling` and `torch_dtype` they were before."""
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    write_json(path, dict(sorted(config.items())))


def logits_of(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    """`[tokens, vocabulary]` in fp32."""
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0]


def greedy(model: torch.nn.Module, tokens: list[int], new_tokens: int) -> tuple[list[int], float]:
    """The likeliest token again and again, the end token included among them, and the smallest margin by which one won.

    Done without a cache, each step on the whole text, so that the expected values cannot share an error with a cache.
    """
    text, margin = list(tokens), float("inf")
    for _ in range(new_tokens):
        best = torch.topk(logits_of(model, text)[-1], 2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        text.append(int(best.indices[0]))
    return text[len(tokens):], margin


def generated_with_cache(model: torch.nn.Module, tokens: list[int], new_tokens: int) -> list[int]:
    """The same continuation from `generate()`, which uses the cache: checks `greedy` above."""
    model.generation_config.eos_token_id = None
    ids = torch.tensor([tokens])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_tokens, pad_token_id=0, use_cache=True,
    )
    return output[0, len(tokens):].tolist()


def expected_of(
    model: torch.nn.Module, prompts: list[list[int]], new_tokens: int, keep: tuple[int, ...] | None
) -> tuple[list[dict], dict[str, torch.Tensor], float]:
    """For each prompt its entry of expected.json and its tensor of expected.safetensors; and the smallest margin."""
    entries, tensors, least = [], {}, float("inf")
    for number, tokens in enumerate(prompts):
        logits = logits_of(model, tokens)
        positions = range(len(tokens)) if keep is None else sorted({p % len(tokens) for p in keep if -len(tokens) <= p < len(tokens)})
        continuation, margin = greedy(model, tokens, new_tokens)
        least = min(least, margin)
        tensors[f"logits.{number}"] = logits[list(positions)].contiguous()
        entries.append({
            "tokens": tokens,
            "logit_positions": list(positions),
            "logits": f"logits.{number}",
            "greedy": continuation,
            "greedy_margin": round(margin, 6),
        })
    return entries, tensors, least


def is_telling(continuation: list[int], end: int | list[int]) -> bool:
    """Whether it neither circles among a few tokens nor holds an end token, at which an engine would stop."""
    ends = {end} if isinstance(end, int) else set(end)
    return len(set(continuation)) >= 6 and not ends & set(continuation)


def write_random_model(spec: RandomModel) -> None:
    folder = FIXTURES / spec.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for seed in range(spec.first_seed, spec.first_seed + SEEDS_TO_TRY):
        model = transformers.AutoModelForCausalLM.from_config(spec.config, dtype=torch.float32, attn_implementation="eager")
        draw_weights(model, seed, spec.standard_deviation)
        tensors = stored_tensors(model, spec)
        # Expected values belong to the stored weights: rounded to fp16 or bf16 first, then computed with in fp32.
        model.load_state_dict({name: value.detach().to(spec.stored_as).float() for name, value in model.state_dict().items()})
        model.eval()
        entries, logits, margin = expected_of(model, spec.prompts, spec.new_tokens, keep=None)
        if margin >= MINIMUM_MARGIN and all(is_telling(entry["greedy"], spec.config.eos_token_id) for entry in entries):
            break
    else:
        raise SystemExit(f"{spec.name}: none of {SEEDS_TO_TRY} seeds gives a clear greedy continuation")

    model.config.dtype = str(spec.stored_as).removeprefix("torch.")
    model.config.save_pretrained(folder)
    if spec.older_config:
        spell_config_as_before(folder / "config.json")
    model.generation_config.save_pretrained(folder)
    write_weights(folder, tensors, spec.files)
    reloaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    for entry in entries:
        found = logits_of(reloaded, entry["tokens"])
        off = float((found - logits[entry["logits"]]).abs().max())
        assert off < 2e-5, f"{spec.name}: the stored folder answers otherwise, by {off}"
        assert generated_with_cache(reloaded, entry["tokens"], spec.new_tokens) == entry["greedy"], f"{spec.name}: cache"
    write_expected(folder, {"notes": spec.notes, "seed": seed, "prompts": entries}, logits)
    report(folder, margin, logits)


def write_bundled() -> None:
    """Expected values alone: the model itself lies in models/fairy-tales."""
    folder = FIXTURES / "bundled"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = [tokenizer.encode(text, add_special_tokens=False).ids for text in BUNDLED_PROMPTS.values()]
    entries, logits, margin = expected_of(model, prompts, 30, BUNDLED_POSITIONS)
    for (name, text), entry in zip(BUNDLED_PROMPTS.items(), entries, strict=True):
        assert generated_with_cache(model, entry["tokens"], 30) == entry["greedy"], f"bundled, {name}: cache"
        entry.update({
            "name": name,
            "text": text,
            "decoded": tokenizer.decode(entry["tokens"], skip_special_tokens=False),
            "greedy_text": tokenizer.decode(entry["greedy"], skip_special_tokens=True),
        })
    if margin < MINIMUM_MARGIN or not all(is_telling(entry["greedy"], model.config.eos_token_id) for entry in entries):
        raise SystemExit("bundled: a prompt has no clear greedy continuation; reword it:\n" + json.dumps(entries, indent=1))
    write_expected(folder, {"model": "models/fairy-tales", "prompts": entries}, logits)
    report(folder, margin, logits)


def write_expected(folder: Path, expected: dict, logits: dict[str, torch.Tensor]) -> None:
    save_file(logits, folder / "expected.safetensors")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    write_json(folder / "expected.json", {"made_with": versions, **expected})


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def report(folder: Path, margin: float, logits: dict[str, torch.Tensor]) -> None:
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, which git would not keep anyway
    size = sum(file.stat().st_size for file in folder.iterdir())
    spread = numpy.std(torch.cat([value.flatten() for value in logits.values()]).numpy())
    print(f"{folder.name:20} {size / 1024:7.0f} KiB  least margin {margin:.4f}  standard deviation of the logits {spread:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the fixtures to write; all of them if none is named")
    wanted = set(parser.parse_args().names)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    makers: dict[str, Callable[[], None]] = {"bundled": write_bundled}
    makers |= {spec.name: (lambda spec=spec: write_random_model(spec)) for spec in random_models()}
    if unknown := wanted - makers.keys():
        raise SystemExit(f"no such fixture: {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
    for name, make in makers.items():
        if not wanted or name in wanted:
            make()


if __name__ == "__main__":
    main()
