"""Texts and their translations, line by line in two files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from components.contracts.dataset_layout import PairsLayout
from components.core.errors import SourceError
from components.ingestion import text_lines
from components.ingestion.sample import Sample, split_name


def samples(layout: PairsLayout, folder: Path) -> Iterator[Sample]:
    """The pairs of each split, in order; ids are `<split>/<line>`, counted from 0.

    Raises:
        SourceError: a file is missing, truncated or no UTF-8, or one of a pair is longer than the other.
    """
    for split in layout.source:
        source, target = folder / layout.source[split], folder / layout.target[split]
        both = zip_longest(text_lines.read(source), text_lines.read(target))
        for row, (ours, theirs) in enumerate(both):
            if ours is None or theirs is None:
                shorter = source if ours is None else target
                got, expected = f"{row} lines", f"a line for each of {(target if ours is None else source).name}"
                raise SourceError("the two files have not the same lines", where=str(shorter), got=got,
                                  expected=expected)  # fmt: skip
            values = {"source": ours[1].rstrip("\r\n"), "target": theirs[1].rstrip("\r\n")}
            known = split_name(split, "layout.source") if split else None
            yield Sample(f"{split or 'all'}/{row:06d}", known, values)
