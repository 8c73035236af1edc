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
        SourceError: a file is missing or truncated, or the two files of a pair differ in length.
    """
    for split in layout.source:
        source, target = folder / layout.source[split], folder / layout.target[split]
        line_pairs = zip_longest(text_lines.read(source, layout.encoding), text_lines.read(target, layout.encoding))
        for row, (source_line, target_line) in enumerate(line_pairs):
            if source_line is None or target_line is None:
                shorter = source if source_line is None else target
                got, expected = f"{row} lines", f"a line for each of {(target if source_line is None else source).name}"
                raise SourceError("the two files have not the same lines", where=str(shorter), got=got,
                                  expected=expected)  # fmt: skip
            values = {"source": source_line[1].rstrip("\r\n"), "target": target_line[1].rstrip("\r\n")}
            standard_split = split_name(split, "layout.source") if split else None
            yield Sample(f"{split or 'all'}/{row:06d}", standard_split, values)
