"""How one array of a prepared split is stored on disk."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from components.core.strict import Strict

DType = Literal["uint8", "int32", "int64", "float32", "bool"]


class ArraySpec(Strict):
    """One named array of every sample of a split; N samples.

    fixed: `<name>.npy` (N, *shape). ragged: the first axis of each sample has its own length: `<name>.npy` (sum of
    lengths, *shape) and `<name>.offsets.npy` int64 (N + 1,); a batch is padded and has `<name>_lengths` beside it.
    window: sample i is rows i + start to i + stop of the table `<of>.npy` (T, *shape), which is stored once; raw
    samples are the rows of the table, and `Processor.encode` returns each row under the name `of`. Targets are the
    windows that do not start at 0; the largest `start` is the look-back, the number of rows that are stored before the
    first row of a split (see `SplitSpec`).

    Args:
        name: name of the array in batches, networks and graphs.
        shape: of one sample; of one row, if the layout is ragged or window.
        pad: value that fills a batch after the end of a shorter sample.
        of, start, stop: table and range of rows, if the layout is window.
        on_request: whether a batch has the array only if it is asked for by name: what the evaluation reads, or whole
            texts, which would make a padded batch large.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: DType
    shape: tuple[int, ...]
    layout: Literal["fixed", "ragged", "window"] = "fixed"
    pad: int = 0
    of: str = ""
    start: int = 0
    stop: int = 0
    on_request: bool = False

    @model_validator(mode="after")
    def _whole_window(self) -> Self:
        if (self.layout == "window") != bool(self.of) or (self.layout == "window" and not self.start < self.stop):
            raise ValueError("of, start and stop belong to layout window, which needs all of them")
        return self

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`on_request` is left out where it is False, so that digests of prepared data are kept."""
        return {key: value for key, value in handler(self).items() if key != "on_request" or value}


def lengths(name: str) -> str:
    """The name of a ragged array's lengths in a batch: int64 (N,)."""
    return f"{name}_lengths"


SAMPLE_WEIGHTS = ArraySpec(name="sample_weights", type="float32", shape=())  # of samples with the field `weight`
