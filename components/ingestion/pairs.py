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
        SourceError: a file is missing or truncated, the files of a split differ in length, or a group is empty.
    """
    for split in layout.source:
        paths = [folder / layout.source[split], folder / layout.target[split]]
        if layout.group is not None:
            paths.append(folder / layout.group[split])
        standard_split = split_name(split, "layout.source") if split else None
        for row, lines in enumerate(zip_longest(*(text_lines.read(path, layout.encoding) for path in paths))):
            if None in lines:
                raise _unequal(paths, [line is None for line in lines], row)
            texts = [line[1].rstrip("\r\n") for line in lines if line is not None]
            values = dict(zip(("source", "target", "group"), texts, strict=False))
            if layout.group is not None:
                values["group"] = values["group"].strip()
                if not values["group"]:
                    raise SourceError("no group", where=f"{paths[2]} line {row + 1}", expected="a text a line")
            yield Sample(f"{split or 'all'}/{row:06d}", standard_split, values)


def _unequal(paths: list[Path], is_over: list[bool], rows: int) -> SourceError:
    """The files of a split differ in length: the first that is over after `rows` lines, and one that is longer."""
    shorter, longer = paths[is_over.index(True)], paths[is_over.index(False)]
    what = "the two files have not the same lines" if len(paths) == 2 else "the files have not the same lines"
    return SourceError(what, where=str(shorter), got=f"{rows} lines", expected=f"a line for each of {longer.name}")
