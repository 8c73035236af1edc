"""What a broken sensor does to the input of a request, before the package answers it.

A column of a table is `stuck` at the value of the first sample, `missing`, or in another `unit` (times 100). An image
is always the first one, black, or has levels of 0 to 1 instead of 0 to 255. A text is always the first one, or empty.
Other inputs (sound, series) are changed in their arrays of numbers: the first sample's, zeros, times 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.rehearsal_scenario import Fault
from components.core.errors import SampleError, UsageError
from components.inference.predictor import Arrays, Predictor
from components.monitoring.reference import Alter
from components.preprocessing import image

UNIT = 100.0
_TABLE = "raw.row."


def of_fault(predictor: Predictor, fault: Fault, column: str | None) -> Alter:
    """The change that a fault makes to items and arrays; it keeps the first sample that it sees.

    Args:
        column: of a table, as the log names it; None: the first that is of numbers.

    Raises:
        UsageError: (when samples are changed) the input has no such column, or cannot have the fault.
    """
    first: list[Any] = []

    def alter(items: list[Any], samples: list[Arrays]) -> tuple[list[Any], list[Arrays | None]]:
        if all(item is None for item in items):
            first.extend([] if first else samples[:1])
            return items, [_arrays(sample, first[0], fault, column) for sample in samples]
        first.extend([] if first else items[:1])
        changed = [_item(item, first[0], fault, column) for item in items]
        return changed, [_read(predictor, item) for item in changed]

    return alter


def _read(predictor: Predictor, item: Any) -> Arrays | None:
    """The arrays of an item; None for one that the service refuses."""
    try:
        return predictor.read([item])[0]
    except SampleError:
        return None


def _item(item: Any, first: Any, fault: Fault, column: str | None) -> Any:
    if isinstance(item, Mapping):
        return _row(item, first, fault, column)
    if column is not None:
        raise UsageError("only a table has columns that can break", got=column, next_step="leave out column=")
    if isinstance(item, bytes):
        return first if fault == "stuck" else _image(item, fault)
    if isinstance(item, str):
        if fault == "unit":
            raise UsageError("a text has no unit", expected="fault=stuck or fault=missing")
        return first if fault == "stuck" else ""
    raise UsageError("an input of this kind cannot break in a rehearsal", got=type(item).__name__)


def _row(item: Mapping[str, Any], first: Mapping[str, Any], fault: Fault, column: str | None) -> dict[str, Any]:
    name = _chosen(first, column)
    value = item.get(name)
    if fault == "stuck":
        return {**item, name: first[name]}
    if fault == "missing":
        return {**item, name: None}
    if value is not None and not _is_number(value):
        raise UsageError("a column of texts has no unit", got=name, expected="fault=stuck or fault=missing")
    return {**item, name: None if value is None else type(value)(float(value) * UNIT)}


def _chosen(first: Mapping[str, Any], column: str | None) -> str:
    if column is None:
        numbers = [name for name, value in first.items() if _is_number(value)]
        return next(iter(numbers or first))
    name = column.removeprefix(_TABLE)
    if name not in first:
        raise UsageError(
            "the input has no such column", got=column, expected=", ".join(f"{_TABLE}{name}" for name in first)
        )
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _image(content: bytes, fault: Fault) -> bytes:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        levels: NDArray[np.uint8] = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    changed = np.zeros_like(levels) if fault == "missing" else np.round(levels / 255).astype(np.uint8)
    return image.as_file(changed)


def _arrays(sample: Arrays, first: Arrays, fault: Fault, column: str | None) -> Arrays:
    if column is not None:
        raise UsageError("only a table has columns that can break", got=column, next_step="leave out column=")
    if fault == "stuck":
        return dict(first)
    if fault == "missing":
        return {name: np.zeros_like(values) for name, values in sample.items()}
    return {
        name: (values * UNIT).astype(values.dtype) if values.dtype.kind == "f" else values
        for name, values in sample.items()
    }
