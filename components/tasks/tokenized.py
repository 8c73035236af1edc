"""Processors with a tokenizer, which travels beside processor.json as tokenizer.json."""

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
        max_length: texts of more tokens are cut at their end.
    """

    max_length: int

    _tokenizer: Tokenizer = PrivateAttr()

    @classmethod
    def of(cls, tokenizer: Tokenizer, **state: Any) -> Self:
        """A processor with its tokenizer."""
        made = cls(**state)
        made._tokenizer = tokenizer
        return made

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted one."""
        return self._tokenizer

    def input_spec(self) -> TokensInput:
        """Token numbers (N, T) and their lengths (N,)."""
        return TokensInput(vocabulary=self.tokenizer.vocabulary, max_length=self.max_length, pad=self.tokenizer.pad)

    def save(self, folder: Path) -> None:
        """Write processor.json and tokenizer.json."""
        super().save(folder)
        (folder / TOKENIZER).write_text(self.tokenizer.json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CorruptArtifactError: it cannot be read.
        """
        made = super().load(folder)
        made._tokenizer = parsed(folder / TOKENIZER)
        return made


def parsed(path: Path) -> Tokenizer:
    """The tokenizer in a file.

    Raises:
        CorruptArtifactError: it cannot be read.
    """
    from components.preprocessing.text import Tokenizer

    try:
        return Tokenizer.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError("the tokenizer cannot be read", where=str(path), got=error) from error
