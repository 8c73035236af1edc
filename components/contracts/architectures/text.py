"""Networks for texts alone; recurrent ones and Transformers for texts stand with their families."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec


class KimSpec(ArchitectureSpec):
    """Convolutions of several widths over the words, the largest of each over the text: Kim 2014, arXiv:1408.5882.

    The paper's limit on the norm of the output's weights is left out; the optimizer's weight decay stands for it.

    Args:
        embedding: of a token.
        windows: how many tokens a filter sees, one group of filters each.
        filters: number of filters of each group.
        dropout: share dropped before the dense layer.
    """

    module: ClassVar[str] = "components.models.kim"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes"})

    family: Literal["cnn"]
    name: Literal["kim"]
    embedding: int = Field(default=128, ge=1, le=8192)
    windows: list[int] = Field(default=[3, 4, 5], min_length=1, max_length=16)
    filters: int = Field(default=100, ge=1, le=8192)
    dropout: float = Field(default=0.5, ge=0, lt=1)
