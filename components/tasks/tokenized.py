"""Base of processors with a tokenizer, which is saved beside processor.json as tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from components.contracts.shapes import TokensInput
from components.core.errors import CorruptArtifactError
from components.tasks.processor import BaseProcessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.preprocessing.text import Tokenizer
    from components.tasks.task import Arrays

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

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """`unknown_share` of each text of a batch, of a task whose inputs are `tokens`."""
        if "tokens" not in batch:
            return {}
        return {"unknown_share": unknown_share(self.tokenizer, batch["tokens"], batch["tokens_lengths"])}

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


def unknown_share(tokenizer: Tokenizer, tokens: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.float64]:
    """The share of each text's tokens that its vocabulary lacks, 0 to 1, (N,).

    Words that a vocabulary of pieces takes apart are known; a tokenizer without a token for unknown ones knows all.

    Args:
        tokens: (N, T), padded.
        lengths: (N,).
    """
    import numpy as np

    if tokenizer.unknown is None:
        return np.zeros(len(tokens))
    inside = np.arange(tokens.shape[1]) < lengths[:, None]
    unknown = (tokens == tokenizer.unknown) & inside
    return np.asarray(unknown.sum(axis=1) / np.maximum(lengths, 1), np.float64)


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
