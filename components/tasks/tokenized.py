"""Base of processors with a tokenizer, which is saved beside processor.json as tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from components.contracts.shapes import TokensInput
from components.core.errors import CorruptArtifactError
from components.tasks.processor import BaseProcessor

if TYPE_CHECKING:
    from components.preprocessing.text import Tokenizer

TOKENIZER = "tokenizer.json"


class Tokenized(BaseProcessor):
    """A processor with one tokenizer.

    Args:
        max_length: longer texts are truncated to so many tokens.
    """

    max_length: int

    _tokenizer: Tokenizer = PrivateAttr()

    @classmethod
    def of(cls, tokenizer: Tokenizer, **state: Any) -> Self:
        """A processor with its tokenizer and its further fields."""
        processor = cls(**state)
        processor._tokenizer = tokenizer
        return processor

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer."""
        return self._tokenizer

    def input_spec(self) -> TokensInput:
        """Token numbers (N, T) and their lengths (N,)."""
        tokenizer = self.tokenizer
        return TokensInput(
            vocabulary=tokenizer.vocabulary,
            max_length=self.max_length,
            pad=tokenizer.pad,
            mask=tokenizer.unknown if tokenizer.mask is None else tokenizer.mask,
            special=tokenizer.special,
        )

    def save(self, folder: Path) -> None:
        """Write processor.json and tokenizer.json."""
        super().save(folder)
        (folder / TOKENIZER).write_text(self.tokenizer.json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CorruptArtifactError: a file cannot be read.
        """
        processor = super().load(folder)
        processor._tokenizer = parsed(folder / TOKENIZER)
        return processor


def parsed(path: Path) -> Tokenizer:
    """The tokenizer in a file.

    Raises:
        CorruptArtifactError: the file cannot be read.
    """
    from components.preprocessing.text import Tokenizer

    try:
        return Tokenizer.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError("the tokenizer cannot be read", where=str(path), got=error) from error
