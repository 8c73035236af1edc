"""Windows of a table in time order, labelled by the change of a column after the window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.contracts.dataset_layout import TableLayout, WindowsLayout
from components.core.errors import SourceError
from components.ingestion import table
from components.ingestion.sample import Sample

RISE, FALL = "rise", "fall"


def samples(layout: WindowsLayout, folder: Path) -> Iterator[Sample]:
    """The windows of each split in the order of time; ids are `<split>/<row of the window's begin>`.

    Raises:
        SourceError: the table cannot be read or has fewer rows than the splits ask for; a value that decides a label
            is missing.
    """
    columns = [*layout.values, *([layout.rising] if layout.rising not in layout.values else [])]
    table_layout = TableLayout(kind="csv", files={"": layout.file}, label=None, values=columns, time=layout.time)
    rows = list(table.samples(table_layout, folder))
    numbers = np.stack([row.values["values"] for row in rows]) if rows else np.empty((0, len(columns)))  # (T, C)
    label_values = numbers[:, columns.index(layout.rising)]  # (T,)
    sizes = layout.rows.model_dump()
    if sum(sizes.values()) > len(rows):
        raise SourceError(
            "fewer rows than the splits ask for", where=layout.file, got=len(rows), expected=sum(sizes.values())
        )
    begin = 0
    for split, size in sizes.items():
        last = begin + size - layout.look_back - layout.horizon
        for start in range(begin, last + 1, layout.stride):
            now, then = start + layout.look_back - 1, start + layout.look_back - 1 + layout.horizon
            if np.isnan(label_values[[now, then]]).any():
                raise SourceError(f"{layout.rising} is empty where it decides a label", where=rows[now].id)
            values = numbers[start : now + 1, : len(layout.values)]
            label = RISE if label_values[then] > label_values[now] else FALL
            time = {"time": rows[now].values["time"]} if layout.time is not None else {}
            yield Sample(f"{split}/{start:06d}", split, {**time, "values": values.ravel(), "label": label})
        begin += size
