"""A CSV, TSV, JSON lines or Parquet file with one row for each sample."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import (
    columnar,
    delimited,
    delimited_blocks,
    dialect,
    feature_batches,
    json_lines,
    text_encoding,
)
from components.ingestion.feature_cells import FeatureCells
from components.ingestion.image_cells import Images
from components.ingestion.label_sets import LabelSets
from components.ingestion.labels import Labels
from components.ingestion.number_cells import Numbers
from components.ingestion.sample import Sample, split_name
from components.ingestion.sample_batch import FeatureSamples, SampleBatch
from components.ingestion.targets import Targets
from components.ingestion.times import TimeReader
from components.ingestion.weights import Weights


def _print(text: str) -> None:
    print(text, file=sys.stderr)


def samples(layout: TableLayout, folder: Path, say: Callable[[str], None] = _print) -> Iterator[Sample]:
    """The rows of each file, in order; ids are `<file's split or name>/<row>`, or, where a split has several files,
    `<file's split>/<file>/<row>`.

    Args:
        say: takes a sentence with the number of rows that are left out, or of values that are filled in.

    Raises:
        SourceError: a file or column is missing, a cell is empty or of the wrong type, a path is outside the folder.
    """
    one_by_one = _samples(layout, folder, say)
    if not feature_batches.is_possible(layout):
        return one_by_one
    return FeatureSamples(one_by_one, lambda: _samples(layout, folder, say, batched=True))


def _samples(layout: TableLayout, folder: Path, say: Callable[[str], None], *, batched: bool = False) -> Iterator[Any]:
    """`samples`, or batches of them."""
    labels = Targets(layout) if layout.target is not None else Labels(layout)
    label_sets = LabelSets(layout)
    times = TimeReader(layout.time_format)
    width: int | None = None
    for key, files in layout.files.items():
        split = split_name(key, "layout.files") if key else None
        names = [files] if isinstance(files, str) else files
        readers = [_Table(layout, folder, name, _prefix(key, name, len(names)), split) for name in names]
        for reader in readers:
            if layout.kind != "parquet" and (note := text_encoding.utf8_instead(reader.path, layout.encoding)):
                say(f"{note}; write `encoding: utf-8` if the latter is right")
            if width not in (None, len(reader.values)):
                expected = f"{width} columns of values, as in the files before"
                raise SourceError(
                    "the files have different columns",
                    where=str(reader.path),
                    got=len(reader.values),
                    expected=expected,
                )
            width = len(reader.values)
        rows: Iterator[Any] = (
            found
            for reader in readers
            for found in (reader.batches(labels) if batched else reader.samples(labels, label_sets, times))
        )
        if layout.order == "newest_first":
            rows = iter(list(rows)[::-1])
        yield from _filled(rows, key, say) if layout.missing is not None else rows
    labels.conclude()
    if labels.missing:
        say(f"{labels.missing:,} of {labels.rows:,} rows have no {labels.noun} and are left out")
    for sentence in label_sets.conclude():
        say(sentence)


def _prefix(key: str, name: str, count: int) -> str:
    if count == 1:
        return key or Path(name).name.partition(".")[0]
    return f"{key}/{name}" if key else name


class _Table:
    """One file and the columns that are read from it."""

    def __init__(self, layout: TableLayout, folder: Path, name: str, prefix: str, split: str | None) -> None:
        self.path = folder / name
        if not self.path.is_file():
            raise SourceError("no such file in the source", where=str(self.path))
        self._layout, self._folder, self._prefix, self._split = layout, folder, prefix, split
        single = [layout.label, layout.target, layout.split, layout.time, layout.image, layout.text, layout.group]
        single.append(layout.weight)
        label_columns = [layout.labels] if isinstance(layout.labels, str) else layout.labels or []
        self._single = [*(column for column in single if column is not None), *label_columns]
        try:
            self._names = self._column_names()
        except pa.ArrowInvalid as error:
            raise self._unreadable(error) from error
        self._pixels = _pixel_columns(layout.pixels, self._names, self.path) if layout.pixels is not None else []
        self.values = layout.features or _value_columns(layout, self._names, self.path)
        delimited.check(self._names, [*self._single, *self._pixels, *self.values], self.path)

    def samples(self, labels: Labels, label_sets: LabelSets, times: TimeReader) -> Iterator[Sample]:
        """The samples of the file; rows without label are left to `labels`."""
        try:
            yield from self._samples(self._records(), labels, label_sets, times)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error

    def batches(self, labels: Labels) -> Iterator[SampleBatch | list[Sample]]:
        """The samples of a table of features by column; one by one where something is odd, which names the row."""
        layout = self._layout
        reader = feature_batches.Reader(layout, self._single, self._prefix, self._split, f"{self.path} {self._unit}")
        columns = [*self._single, *self.values]
        row = 0
        blocks = (
            columnar.blocks(self.path, columns)
            if layout.kind == "parquet"
            else delimited_blocks.blocks(dialect.of(layout), self.path, self._names, columns)
        )
        try:
            for block in blocks:
                batch = reader.batch(block, row, labels)
                if batch is None:
                    label_sets, times = LabelSets(layout), TimeReader(None)
                    yield list(self._samples(block.rows(), labels, label_sets, times, row))
                elif batch.rows.size:
                    yield batch
                row += len(block.lines)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error

    def _samples(
        self, records: Iterator[tuple[int, Sequence[Any]]], labels: Labels, label_sets: LabelSets, times: TimeReader,
        first: int = 0,
    ) -> Iterator[Sample]:  # fmt: skip
        layout = self._layout
        numbers, images = Numbers(layout, self.values), Images(layout, self.path, self._folder)
        features, weights = FeatureCells(layout), Weights(layout)
        where = f"{self.path} {self._unit}"
        places = {column: self._single.index(column) for column in self._single}
        content = len(self._single)  # place of the first cell of values, or of the drawn image
        for row, (place, cells) in enumerate(records, first):
            split_cell = cells[places[layout.split]] if layout.split is not None else None
            split = self._split if split_cell in (None, "") else split_name(str(split_cell), f"{where} {place}")
            fields: dict[str, Any] = {}
            if layout.label is not None:
                label = labels.of(cells[places[layout.label]], where, place)
                if label is None:
                    continue
                fields["label"] = label
            if isinstance(labels, Targets):
                target = labels.number(cells[places[layout.target or ""]], where, place)
                if target is None:
                    continue
                fields["target"] = target
            if layout.labels is not None:
                own = [cells[places[column]] for column in label_sets.columns]
                fields["labels"] = label_sets.of(own, where, place)
            if layout.time is not None:
                fields["time"] = times.text(str(cells[places[layout.time]]), where, place)
            if layout.group is not None:
                fields["group"] = str(cells[places[layout.group]] or "").strip()
            if layout.weight is not None:
                fields["weight"] = weights.of(cells[places[layout.weight]], where, place)
            if layout.text is not None:
                fields["text"] = _text(cells[places[layout.text]], where, place)
            elif layout.values is not None:
                fields["values"] = numbers.of(cells[content:], where, place)
            elif layout.features:
                fields["row"] = features.of(cells[content:], where, place)
            elif layout.image is not None:
                fields["image"] = images.of(cells[places[layout.image]], where, place)
            else:
                fields["image"] = cells[content]
            yield Sample(f"{self._prefix}/{row:06d}", split, fields)

    @property
    def _unit(self) -> str:
        return "row" if self._layout.kind == "parquet" or self._pixels else "line"

    def _column_names(self) -> list[str]:
        if self._layout.kind == "parquet":
            return list(pq.read_schema(self.path).names)
        if self._layout.kind == "jsonl":
            return json_lines.names_of(self.path, self._layout.encoding)
        named = [*self._single, *(self._layout.values if isinstance(self._layout.values, list) else ())]
        named += self._layout.features
        return delimited.names_of(dialect.of(self._layout), self.path, named)

    def _records(self) -> Iterator[tuple[int, Sequence[Any]]]:
        if self._layout.kind == "parquet" or self._pixels:
            return columnar.rows(self._layout, self.path, [*self._single, *self.values], self._pixels)
        if self._layout.kind == "jsonl":
            return json_lines.rows(self.path, [*self._single, *self.values], self._layout.encoding)
        return delimited.rows(dialect.of(self._layout), self.path, self._names, [*self._single, *self.values])

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError("the table cannot be read", where=str(self.path), got=str(error).splitlines()[0])


def _filled(rows: Iterator[Sample], key: str, say: Callable[[str], None]) -> Iterator[Sample]:
    """The rows, where a missing value repeats the one of the row before."""
    before: Any = None
    count = 0
    for sample in rows:
        values = sample.values["values"]
        missing = np.isnan(values)
        if missing.any():
            if before is None or np.isnan(before[missing]).any():
                where = f"{sample.id}, {sample.values['time']}"
                next_step = "fill the cell, or remove the rows above the first that is complete"
                raise SourceError("a missing value, and no value before it", where=where, next_step=next_step)
            values = np.where(missing, before, values)
            count += int(missing.sum())
        before = values
        yield sample._replace(values={**sample.values, "values": values})
    if count:
        say(f"{count:,} missing values{f' of {key}' if key else ''} repeat the value of the row before")


def _pixel_columns(prefix: str, names: list[str], path: Path) -> list[str]:
    """The pixel columns in the order of the numbers after the prefix."""
    columns = _numbered(prefix, names)
    if not columns or math.isqrt(len(columns)) ** 2 != len(columns):
        expected = f"a square number of columns {prefix}0, {prefix}1, ..."
        raise SourceError("no square image in these columns", where=str(path), got=len(columns), expected=expected)
    return columns


def _value_columns(layout: TableLayout, names: list[str], path: Path) -> list[str]:
    if not isinstance(layout.values, str):
        return layout.values or []
    columns = [layout.values] if layout.values in names else _numbered(layout.values, names)
    if not columns:
        expected = f"columns {layout.values}0, {layout.values}1, ..."
        raise SourceError("columns are missing", where=str(path), got=", ".join(names[:20]), expected=expected)
    return columns


def _numbered(prefix: str, names: list[str]) -> list[str]:
    columns = [name for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return sorted(columns, key=lambda name: int(name[len(prefix) :]))


def _text(value: Any, where: str, place: int) -> str:
    if not isinstance(value, str):
        raise SourceError("no text", where=f"{where} {place}", got=type(value).__name__)
    return value
