"""How one array of a prepared split lies on disk."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict

DType = Literal["uint8", "int32", "int64", "float32", "bool"]


class ArraySpec(Strict):
    """One named array of every sample of a split; N samples.

    fixed: `<name>.npy` (N, *shape). ragged: the samples' first axes differ: `<name>.npy` (sum of lengths, *shape) and
    `<name>.offsets.npy` int64 (N + 1,); a batch of it is padded, and `<name>_lengths` stands beside it. window: sample
    i is rows i + start to i + stop of the table `<of>.npy` (T, *shape), which is stored once; raw samples are its
    rows, and `Processor.encode` gives each row under the name `of`. Targets are the windows that do not start at 0; the
    largest `start` is the look-back: so many rows stand in front of a split's own (see `SplitSpec`).

    Args:
        name: as batches, networks and graphs name it.
        shape: of one sample; of one row, where the layout is ragged or window.
        pad: what fills a batch behind the shorter samples.
        of, start, stop: the table and the rows, where the layout is window.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: DType
    shape: tuple[int, ...]
    layout: Literal["fixed", "ragged", "window"] = "fixed"
    pad: int = 0
    of: str = ""
    start: int = 0
    stop: int = 0

    @model_validator(mode="after")
    def _whole_window(self) -> Self:
        if (self.layout == "window") != bool(self.of) or (self.layout == "window" and not self.start < self.stop):
            raise ValueError("a window names its table and a range of rows; no other layout does")
        return self


def lengths(name: str) -> str:
    """How a batch names the lengths of a ragged array: int64 (N,)."""
    return f"{name}_lengths"
