"""Prompts of an exact number of tokens: passages of the corpus, never the same one twice."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path

from make_models import CORPUS
from tokenizers import Tokenizer


@dataclass(frozen=True)
class Passage:
    text: str
    tokens: list[int]


class Passages:
    """Hands out passages that begin with a paragraph. A text that has been read once could be found in a prefix cache again,
    so a place in the corpus is used once in a run."""

    # More than any test needs of the corpus, and quickly turned into tokens.
    CHARACTERS = 3_000_000

    def __init__(self, tokenizer_file: Path):
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        with lzma.open(CORPUS, "rt", encoding="utf-8") as file:
            self._text = file.read(self.CHARACTERS)
        self._from = 0

    def take(self, tokens: int) -> Passage:
        """The next passage of exactly so many tokens, as text and as ids."""
        while True:
            start = self._text.index("\n\n", self._from) + 2
            # No token of English text is longer than 24 characters here; what is too much is cut off below.
            piece = self._text[start : start + 24 * tokens]
            encoding = self._tokenizer.encode(piece, add_special_tokens=False)
            end = encoding.offsets[tokens - 1][1]
            self._from = start + end
            text = piece[:end]
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            if len(ids) == tokens and text == text.strip() and "<|" not in text:
                return Passage(text, ids)

    def branch(self, passage: Passage, kept: int) -> Passage:
        """Another end for the same beginning: its first `kept` tokens, then others, as long as the original in all."""
        for _ in range(100):
            beginning = self._tokenizer.decode(passage.tokens[:kept])
            other = self.take(len(passage.tokens) - kept)
            text = f"{beginning} {other.text}"
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            if ids[:kept] == passage.tokens[:kept]:
                return Passage(text, ids)
        raise RuntimeError("no passage can be put behind this one")
