"""Makes the one model everybody is measured on, in every peer's format.

It is a GPT-2 of 124 million parameters with random weights: speed does not depend on what the weights are, and the real
ones cannot be had from a package registry. Two things are made to look real all the same:

- the vocabulary: a byte-level BPE of 50,257 entries trained on the corpus of the bundled model, filled up to GPT-2's size
  with pairs that no text can form, so that prompts are ordinary English of ordinary length;
- the continuation: with GPT-2's own standard deviations a random model repeats one token for ever, which would flatter
  every cache and every kind of speculation. Wider ones make greedy text that does not repeat itself.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tools/train_fairy_tales/corpus/fairy-tales.txt.xz"
END_OF_TEXT = "<|endoftext|>"
VOCABULARY, POSITIONS, LAYERS, HEADS, WIDTH = 50_257, 1024, 12, 12, 768
EMBEDDING_DEVIATION, POSITION_DEVIATION, MATRIX_DEVIATION = 0.02, 0.05, 0.06
SEED = 1


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    with lzma.open(CORPUS, "rt", encoding="utf-8") as file:
        tokenizer.train_from_iterator([file.read()], trainer)
    return filled_up(tokenizer)


def filled_up(tokenizer: Tokenizer) -> Tokenizer:
    """Adds merges of whole words, which the pre-tokenizer keeps apart, until the vocabulary has its size."""
    described = json.loads(tokenizer.to_str())
    vocabulary, merges = described["model"]["vocab"], described["model"]["merges"]
    words = [token for token in vocabulary if token.startswith("Ġ") and len(token) > 4]
    pairs = ((first, second) for first in words for second in words)
    while len(vocabulary) < VOCABULARY:
        first, second = next(pairs)
        if first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            merges.append([first, second])
    return Tokenizer.from_str(json.dumps(described))


def random_weights() -> dict[str, numpy.ndarray]:
    """By the names of Hugging Face's GPT-2; matrices are `[in, out]`, as its Conv1D has them."""
    generator = numpy.random.default_rng(SEED)

    def normal(deviation: float, *shape: int) -> numpy.ndarray:
        return deviation * generator.standard_normal(shape, dtype=numpy.float32)

    ones, zeros = numpy.ones(WIDTH, numpy.float32), numpy.zeros(WIDTH, numpy.float32)
    tensors = {
        "transformer.wte.weight": normal(EMBEDDING_DEVIATION, VOCABULARY, WIDTH),
        "transformer.wpe.weight": normal(POSITION_DEVIATION, POSITIONS, WIDTH),
        "transformer.ln_f.weight": ones,
        "transformer.ln_f.bias": zeros,
    }
    shapes = {"attn.c_attn": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH), "mlp.c_fc": (WIDTH, 4 * WIDTH), "mlp.c_proj": (4 * WIDTH, WIDTH)}
    for layer in range(LAYERS):
        prefix = f"transformer.h.{layer}"
        for norm in ("ln_1", "ln_2"):
            tensors[f"{prefix}.{norm}.weight"], tensors[f"{prefix}.{norm}.bias"] = ones, zeros
        for name, shape in shapes.items():
            tensors[f"{prefix}.{name}.weight"] = normal(MATRIX_DEVIATION, *shape)
            tensors[f"{prefix}.{name}.bias"] = normal(0.02, shape[1])
    return tensors


def make_hugging_face(folder: Path) -> None:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(), folder / "model.safetensors", metadata={"format": "pt"})
    make_tokenizer().save(str(folder / "tokenizer.json"))
    # No end token: a generation has exactly the tokens that were asked for.
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.0, "bos_token_id": 0,
        "embd_pdrop": 0.0, "eos_token_id": None, "layer_norm_epsilon": 1e-5, "model_type": "gpt2", "n_ctx": POSITIONS,
        "n_embd": WIDTH, "n_head": HEADS, "n_inner": None, "n_layer": LAYERS, "n_positions": POSITIONS, "resid_pdrop": 0.0,
        "tie_word_embeddings": True, "dtype": "float32", "vocab_size": VOCABULARY,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"bos_token_id": 0})
    names = {"tokenizer_class": "GPT2TokenizerFast", "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    write_json(folder / "tokenizer_config.json", {**names, "model_max_length": POSITIONS})


def make_ctranslate2(source: Path, folder: Path) -> None:
    """CTranslate2's own converter, with int8 weights."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(folder), quantization="int8", force=True)


def make_gguf(source: Path, file: Path) -> None:
    """Q8_0 or Q4_0 by llama.cpp's own quantiser, from an fp32 GGUF, as its users do it."""
    import llama_cpp

    full = file.with_name("f32.gguf")
    write_gguf(source, full)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = {"q8_0.gguf": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0.gguf": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[file.name]
    parameters.nthread = 2
    status = llama_cpp.llama_model_quantize(str(full).encode(), str(file).encode(), parameters)
    full.unlink()
    if status != 0:
        raise SystemExit(f"llama.cpp could not quantise to {file.name}: {status}")


def write_gguf(source: Path, file: Path) -> None:
    """The GPT-2 in fp32, by the tensor names of llama.cpp; the head is the embedding, which it takes when there is no other."""
    import gguf
    from safetensors.numpy import load_file

    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, "gpt2")
    writer.add_name("random GPT-2 124M")
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(4 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    described = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(described["vocab"], key=described["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token == END_OF_TEXT else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in described["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = {
        "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
        "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    }
    for name, value in load_file(source / "model.safetensors").items():
        stem, kind = name.rsplit(".", 1)
        if stem.startswith("transformer.h."):
            layer, part = stem.removeprefix("transformer.h.").split(".", 1)
            target = f"blk.{layer}.{names[part]}.{kind}"
            # Conv1D's [in, out] turned into the [out, in] of a linear layer.
            value = value.T.copy() if value.ndim == 2 else value
        else:
            target = f"{names[stem]}.{kind}"
        writer.add_tensor(target, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def make_all(folder: Path) -> None:
    """Makes what is missing. Each in a process of its own: the converters hold on to gigabytes."""
    for target in ("hf", "ct2", "q8_0.gguf", "q4_0.gguf"):
        path, unfinished = folder / target, folder / "unfinished"
        if path.exists():
            continue
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        print(f"making {path}", flush=True)
        subprocess.run([sys.executable, __file__, str(folder), "--only", target], check=True)
        (unfinished / target).rename(path)
        shutil.rmtree(unfinished)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    source, target = chosen.folder / "hf", chosen.folder / "unfinished" / (chosen.only or "")
    match chosen.only:
        case None:
            make_all(chosen.folder)
        case "hf":
            make_hugging_face(target)
        case "ct2":
            make_ctranslate2(source, target)
        case _:
            make_gguf(source, target)


if __name__ == "__main__":
    main()
