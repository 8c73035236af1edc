"""The special tokens of a language model's tokenizer."""

from __future__ import annotations

from pydantic import Field

from components.core.strict import Strict


class SpecialTokens(Strict):
    """Special tokens by their role, and the numbers of those that begin and end texts.

    Args:
        names: the token of each role of transformers, such as `eos_token`; chat templates read them.
        begin: the token before an empty text; None: the first of `ends`.
        ends: tokens that end an answer, the first of them ends the texts of a training.
        never: tokens that an answer never has.
    """

    names: dict[str, str]
    begin: int | None = None
    ends: list[int] = Field(min_length=1)
    never: list[int] = Field(default=[])
