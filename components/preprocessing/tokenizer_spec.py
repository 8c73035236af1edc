"""Which tokenizer a text task takes, as dataset.yaml says it under `input: tokenizer:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.core.strict import Strict


class WordLevel(Strict):
    """Whole words and runs of signs; rare ones become [UNK].

    Args:
        lower: whether to ignore case.
        vocabulary: at most so many tokens, the special ones included.
        min_frequency: a word must occur so often in the train split.
    """

    kind: Literal["words"] = "words"
    lower: bool = True
    vocabulary: int = Field(default=20_000, ge=5, le=1_000_000)
    min_frequency: int = Field(default=2, ge=1)


class Bpe(Strict):
    """Byte-level pairs (Sennrich et al. 2016, arXiv:1508.07909): any text goes in and comes out, nothing is unknown.

    Args:
        lower: whether to lower the case.
        vocabulary: so many tokens, 4 special ones and 256 bytes included.
        min_frequency: a pair must occur so often in the train split.
    """

    kind: Literal["bpe"] = "bpe"
    lower: bool = False
    vocabulary: int = Field(default=8_000, ge=260, le=1_000_000)
    min_frequency: int = Field(default=2, ge=1)


class WordPiece(Strict):
    """A pretrained tokenizer, as it comes: its own normalisation, its own special tokens.

    Args:
        source: `package:<distribution>` with a tokenizer.json or vocab.txt in it, or `folder:<path>`.
    """

    kind: Literal["wordpiece"] = "wordpiece"
    source: str = Field(pattern=r"^(package|folder):.+$")


TokenizerSpec = Annotated[WordLevel | Bpe | WordPiece, Field(discriminator="kind")]
