"""The tokenizer of a text task: `input: tokenizer:` of dataset.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.core.strict import Strict

# The files of a pretrained tokenizer that are read, the first of the first two that is there.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")


class WordLevel(Strict):
    """Whole words and runs of punctuation; rare words become [UNK].

    Args:
        lower: whether to lowercase texts.
        vocabulary: largest number of tokens, special tokens included.
        min_frequency: occurrences in the train split that a word needs.
    """

    kind: Literal["words"] = "words"
    lower: bool = True
    vocabulary: int = Field(default=20_000, ge=5, le=1_000_000)
    min_frequency: int = Field(default=2, ge=1)


class Bpe(Strict):
    """Byte-level byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909): lossless, without unknown tokens.

    Args:
        lower: whether to lowercase texts.
        vocabulary: number of tokens, with 4 special tokens and 256 bytes.
        min_frequency: occurrences in the train split that a pair needs.
    """

    kind: Literal["bpe"] = "bpe"
    lower: bool = False
    vocabulary: int = Field(default=8_000, ge=260, le=1_000_000)
    min_frequency: int = Field(default=2, ge=1)


class WordPiece(Strict):
    """A pretrained tokenizer with its own normalisation and special tokens.

    Args:
        source: `package:<distribution>` that contains a tokenizer.json or vocab.txt, or `folder:<path>`.
    """

    kind: Literal["wordpiece"] = "wordpiece"
    source: str = Field(pattern=r"^(package|folder):.+$")


class Pretrained(Strict):
    """The tokenizer of a pretrained model, of any kind, as transformers' AutoTokenizer loads it.

    Its special tokens, added tokens and normalisation are used as they are; a special token in a text, such as [MASK],
    is that token. The data is prepared with transformers, and answered with the `tokenizers` library alone.

    Args:
        source: `hub:<name>[@<revision>]`, `folder:<path>` or `package:<python package>` with the files of the model.
    """

    kind: Literal["pretrained"]
    source: str = Field(pattern=r"^(hub|package|folder):\S.*$")


TokenizerSpec = Annotated[WordLevel | Bpe | WordPiece | Pretrained, Field(discriminator="kind")]
