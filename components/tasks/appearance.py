"""What of a raw sample can be compared with other samples: its picture, its text, or its series.

The kind follows from the arrays that `Task.decode` makes and from the task's fields and input, not from its name.
Legend: H height, W width, C channels, T steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from components.contracts.shapes import SeriesInput, TokensInput
from components.tasks.task import Task, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays

Kind = Literal["picture", "text", "series", "sound"]


class Appearance(NamedTuple):
    """A sample as it is compared.

    Args:
        value: a picture uint8 (H, W, C), a series of floats (T, C), the frames of a sound (T, C), or a text.
    """

    kind: Kind
    value: Any


def is_comparable(task: Task) -> bool:
    """Whether samples of a task can be compared at all: not rows of a table, and not windows of one series."""
    if hasattr(task, "window_example"):
        return False
    return "binary" in task.fields.values() or issubclass(task.input_type, SeriesInput | TokensInput)


def of(task: Task, settings: Any, values: Values, decoded: Arrays) -> Appearance | None:
    """The sample as it is compared; None if its kind has no comparison (rows of a table, windows of one series)."""
    if hasattr(task, "window_example"):
        return None
    for name in sorted(decoded, key=lambda name: name != "images"):
        array = decoded[name]
        if array.dtype == "uint8" and array.ndim == 3 and array.shape[2] in (1, 3):
            return Appearance("picture", array)
    if issubclass(task.input_type, SeriesInput):
        return _series(task, settings, values, decoded)
    if issubclass(task.input_type, TokensInput):
        return Appearance("text", task.content(values).decode("utf-8", "replace"))
    return None


def _series(task: Task, settings: Any, values: Values, decoded: Arrays) -> Appearance | None:
    for array in decoded.values():
        if array.dtype.kind == "f" and array.ndim == 2:  # the frames of a sound
            return Appearance("sound", array)
    field = next((name for name, kind in task.fields.items() if kind == "numbers"), None)
    if field is None:
        return None
    flat: NDArray[Any] = values[field]
    channels = getattr(settings, "channels", 1)
    if not isinstance(channels, int) or channels < 1 or len(flat) % channels:
        channels = 1
    return Appearance("series", flat.reshape(-1, channels))
