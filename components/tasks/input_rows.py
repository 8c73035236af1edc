"""The row of the sample table that a request's input has: the columns that expectations see, without those of truths.

Columns are named after the part of the expectations that sees them: `prepared.mean`, `raw.words`. Beside them stand
those of the network's embedding (`embedding.norm`; see `components.inference.embedding_summary`), which no expectation
sees.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from components.contracts.array_spec import ArraySpec, lengths
from components.tasks.description import describe, describe_prepared
from components.tasks.task import Processor, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


PREPARED, RAW, EMBEDDING = "prepared.", "raw.", "embedding."
PREFIXES = (RAW, PREPARED, EMBEDDING)  # of all columns that describe an input


def rows(
    task: Task,
    processor: Processor,
    items: Sequence[Any],
    samples: Sequence[Arrays],
    parts: Collection[str] = (PREPARED, RAW),
) -> dict[str, list[Any]]:
    """Columns of n values by name, for n items of requests and their input arrays.

    Those of the arrays are as `Task.describe_prepared` gives them; those of the items as `Task.describe`, for a task
    whose item is a field of a raw sample (`TaskDefaults.item_field`). Columns that depend on a truth
    (`TaskDefaults.target_columns`) are left out.

    Args:
        parts: of the expectations whose columns are wanted.
    """
    columns: dict[str, list[Any]] = {}
    if PREPARED in parts:
        columns = {PREPARED + name: values.tolist() for name, values in _prepared(task, processor, samples).items()}
    if RAW in parts and has_raw_columns(task):
        hidden = getattr(task, "target_columns", ())
        described = [describe(task, _raw(task, item), processor) for item in items]
        names = dict.fromkeys(name for row in described for name in row if name not in hidden)
        columns |= {RAW + name: [row.get(name) for row in described] for name in names}
    return columns


def has_raw_columns(task: Task) -> bool:
    """Whether the item of a request is a field of a raw sample, so that its row has columns of the raw table."""
    return getattr(task, "item_field", "") in task.fields


_UNKNOWN = {"text": "", "binary": b"", "json": []}  # a truth that nobody knows, by the kind of its field


def _raw(task: Task, item: Any) -> dict[str, Any]:
    """An item as a raw sample: a body that is a text as a text, pixels as a file; truths are unknown."""
    import numpy as np

    field: str = getattr(task, "item_field", "")
    kind = task.fields[field]
    if kind == "text" and isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    elif kind == "binary" and isinstance(item, np.ndarray):
        from components.preprocessing import image

        item = image.as_file(item)
    others = {name: kind for name, kind in task.fields.items() if name != field}
    return {field: item} | {name: _UNKNOWN.get(kind, np.zeros(1)) for name, kind in others.items()}


def _prepared(task: Task, processor: Processor, samples: Sequence[Arrays]) -> Arrays:
    import numpy as np

    from components.preprocessing.batch import collate

    specs = [spec for spec in processor.arrays() if not spec.on_request]
    batch: Arrays = collate(specs, samples)
    for spec in specs:
        if spec.name in samples[0]:
            if spec.layout == "window":
                batch[spec.name] = np.stack([sample[spec.name] for sample in samples])
        else:
            batch |= _absent(spec, len(samples))
    described = describe_prepared(task, processor, batch)
    hidden = getattr(task, "target_columns", ())
    return {name: np.asarray(values) for name, values in described.items() if name not in hidden}


def _absent(spec: ArraySpec, count: int) -> Arrays:
    """The array of a truth that nobody knows: zeros; none of its values is in a row."""
    import numpy as np

    if spec.layout == "ragged":
        return {
            spec.name: np.full((count, 1, *spec.shape), spec.pad, spec.type),
            lengths(spec.name): np.zeros(count, np.int64),
        }
    extent = (spec.stop - spec.start,) if spec.layout == "window" else ()
    return {spec.name: np.zeros((count, *extent, *spec.shape), spec.type)}
