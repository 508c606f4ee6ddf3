"""The corpus: its tales, which of them are held out, and the tokenizer made from it."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus/fairy-tales.txt.xz"
# The held-out tales as one text, committed so that others (the Rust tests of quantisation) measure on the same.
VALIDATION = HERE / "validation.txt"
END_OF_TEXT = "<|endoftext|>"
SPLIT_SEED = 1
# Held out by characters rather than tokens, so that models with different vocabularies are measured on the same tales.
HELD_OUT_CHARACTERS = 200_000


def read_corpus() -> str:
    with lzma.open(CORPUS, "rt", encoding="utf-8") as file:
        return file.read()


def split_tales(text: str) -> tuple[list[str], list[str]]:
    """(training, held out): whole tales, shuffled with `SPLIT_SEED`; the last of them are held out."""
    tales = text.split(END_OF_TEXT)
    shuffled = [tales[index] for index in numpy.random.default_rng(SPLIT_SEED).permutation(len(tales))]
    held_out, characters = 0, 0
    for tale in reversed(shuffled):
        characters += len(tale) + len(END_OF_TEXT)
        if characters > HELD_OUT_CHARACTERS:
            break
        held_out += 1
    return shuffled[:-held_out], shuffled[-held_out:]


def joined(tales: list[str]) -> str:
    """Each tale followed by the marker that a model learns to end with."""
    return "".join(tale + END_OF_TEXT for tale in tales)


def train_tokenizer(text: str, vocabulary: int) -> Tokenizer:
    """A byte-level BPE, as GPT-2's: any text can be written with it, and is got back unchanged.

    It is trained on the whole text, the held-out tales included: it learns which letters often stand together and no more,
    and the bundled tokenizer was made so. With 2,048 entries it comes out identical to the bundled one.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def token_ids(tokenizer: Tokenizer, text: str) -> numpy.ndarray:
    return numpy.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=numpy.int64)


if __name__ == "__main__":
    training, held_out = split_tales(read_corpus())
    VALIDATION.write_text(joined(held_out), encoding="utf-8", newline="\n")
    print(f"{len(training)} tales to train on, {len(held_out)} held out, written to {VALIDATION}")
