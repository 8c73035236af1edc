"""Tables of features, read by column: the same files, errors and counts as sample by sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import columns, delimited, delimited_blocks, number_columns, row_json, sample_file, table
from components.ingestion.dialect import Dialect
from components.ingestion.sample_batch import SampleBatch

RNG = np.random.default_rng(0)
HEAD = "x,y,c,l"
LAYOUT: dict[str, Any] = {"numbers": ["x", "y"], "categories": ["c"], "label": "l"}


def number() -> str:
    kinds = [
        f"{RNG.normal(0, 1):.4f}",
        f"{RNG.normal(0, 1e12)}",
        "",
        "7",
        "1e-5",
        "-0.0",
        "1e300",
        " 3 ",
        "+4",
        "1_000",
    ]
    return str(RNG.choice(kinds))


ROWS = [
    f"{number()},{number()},{RNG.choice(['a', 'True', 'TRUE', '', 'é'])},{RNG.choice(['yes', 'no'])}"
    for _ in range(1500)
]


def with_row(row: str, place: int = 700) -> str:
    return "\n".join([HEAD, *ROWS[:place], row, *ROWS[place:]])


PLAIN = with_row("1,2,a,no")
EUROPEAN = PLAIN.replace(".", ";").replace(",", "\t").replace(";", ",")
CASES: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "byte order mark": ("\ufeff" + PLAIN, {}),
    "carriage returns and line feeds": (PLAIN.replace("\n", "\r\n") + "\r\n\r\n", {}),
    "carriage returns": (PLAIN.replace("\n", "\r"), {}),
    "quoted header": (PLAIN.replace(HEAD, '"x","y","c","l"'), {}),
    "quoted cells": (with_row('1,2,"a, ""b""",yes'), {}),
    "line break in a cell": (with_row('1,2,"a\nb",yes'), {}),
    "quotation mark out of place": (with_row('1,2,"a"b,yes'), {}),
    "blank lines": (with_row("\n   \n"), {}),
    "empty last cell": (with_row("1,2,a,yes,"), {}),
    "short row": (with_row("1,2,a"), {}),
    "no number": (with_row("1,?,a,yes"), {}),
    "word for a missing value": (with_row("1,?,a,yes"), {"missing_values": ["?", "a", 7]}),
    "infinite": (with_row("1,inf,a,yes"), {}),
    "no label": (with_row("1,2,a,"), {}),
    "no label and no number": (with_row("1,x,a,"), {"unlabelled": "leave_out"}),
    "comment": (with_row("# no row"), {"comment": "#"}),
    "lines above and below": (f"a\nb\n{PLAIN}\nend\nend", {"skip_lines": 2, "skip_last_lines": 2}),
    "no header": ("\n".join(ROWS), {"header": False, "columns": ["x", "y", "c", "l"]}),
    "Windows-1252": (PLAIN.encode("cp1252"), {"encoding": "cp1252"}),
    "ISO 8859-1": (PLAIN.encode("latin-1"), {"encoding": "latin-1"}),
    "UTF-16": (PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
    "damaged UTF-8": (PLAIN.encode("cp1252"), {}),
    "decimal commas": (EUROPEAN + '\n1.234,5\t1\t"a\tno', {"kind": "tsv", "decimal": ",", "thousands": "."}),
    "target": (PLAIN, {"numbers": ["x"], "categories": None, "target": "y", "label": None, "unlabelled": "leave_out"}),
    "class names": (PLAIN, {"classes": {"yes": "Y", "no": "N"}}),
    "class without a name": (PLAIN, {"classes": {"yes": "Y"}}),
    "split and group": (
        "x,s,g,l\n" + "\n".join(f"{row},{RNG.choice(['train', 'test', ''])},g{row % 7} ,1" for row in range(1200)),
        {"numbers": ["x"], "categories": None, "split": "s", "group": "g", "classes": ["a", "b"]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_is_read_by_column_as_sample_by_sample(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, keys = CASES[name]
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    layout = TableLayout(**{"kind": "csv", "files": {"": "t.csv"}, **LAYOUT, **keys})
    monkeypatch.setattr(delimited_blocks, "_CHARACTERS", 9000)
    found = []
    for by_column in (False, True):
        said: list[str] = []
        samples = table.samples(layout, tmp_path, said.append)
        path = tmp_path / f"{by_column}.parquet"
        try:
            written = sample_file.write(samples if by_column else iter(list(samples)), path, "x", layout.fields)
            found.append((written, said, path.read_bytes()))
        except SourceError as error:
            found.append((str(error), said, b""))
    assert found[0] == found[1]
    if found[0][2] and name not in ("carriage returns", "no label and no number"):
        batches = list(table.samples(layout, tmp_path, lambda _: None).batches())  # type: ignore[attr-defined]
        assert all(isinstance(batch, SampleBatch) for batch in batches)


def test_row_groups_end_by_their_bytes_as_sample_by_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_file, "_ROW_GROUP_BYTES", 20_000)
    (tmp_path / "t.csv").write_text(PLAIN)
    layout = TableLayout(**{"kind": "csv", "files": {"": "t.csv"}, **LAYOUT})
    samples = table.samples(layout, tmp_path, lambda _: None)
    sample_file.write(iter(list(samples)), tmp_path / "a", "x", layout.fields)
    sample_file.write(table.samples(layout, tmp_path, lambda _: None), tmp_path / "b", "x", layout.fields)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numbers_are_written_as_python_writes_them() -> None:
    rng = np.random.default_rng(0)
    powers = 2.0 ** np.arange(-100, 100)
    values = np.concatenate(
        [rng.normal(size=3000) * 10.0 ** rng.integers(-20, 20, 3000), powers, -powers, [0.0, 5e-324]]
    )
    expected = [str(int(one)) if one.is_integer() and abs(one) <= 2**53 else repr(one) for one in values.tolist()]
    assert row_json.number_literals(values).to_pylist() == expected


def test_rows_of_another_spelling_are_not_read_by_column() -> None:
    rows = [{"x": 1.5, "c": "a"}, {"x": None, "c": None}]
    texts = columns.text([json.dumps(row, separators=(",", ":")) for row in rows])
    found = row_json.read(texts, ["x"], ["c"])
    assert found is not None
    assert found[0].categories["c"].numbers.tolist() == [0, -1]
    assert row_json.read(columns.text(['{"x":1.0,"c":"a"}']), ["x"], ["c"]) is None
    assert row_json.read(columns.text(['{"c":"a","x":1}']), ["x"], ["c"]) is None
    assert row_json.read(texts, ["x"], []) is None


def test_words_and_marks_are_no_plain_numbers() -> None:
    cells = columns.text(["1", "2.5", "", " 7 ", "1e3", "+4", "1_000", "x", "nan", "inf", "1e999", "-0.5"])
    found = number_columns.plain(cells, ".")
    assert np.isfinite(found).tolist() == [cell in ("1", "2.5", "1e3", "-0.5") for cell in cells.to_pylist()]
    assert number_columns.plain(columns.text(["1,5", "2.5", "3,"]), ",").tolist()[::2] == [1.5, 3.0]


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n"1","x"\n2,"y, ""z"""\n"",""\n',
        'a,b\n1,"x\ny"\n2,z\n\n3,"w"\n',
        'a,b\n1,x"y"\n2,"z" \n',
        'a,b\n1,2,\n"3",4,\n  \n5\n6,"7',
        'a,b\n1,2\n"a"b,\n3\n',
        '\n\n"a","b"\r\n1,2\r\n"\r\n",4',
    ],
)
@pytest.mark.parametrize("characters", [3, 9, 1000])
def test_blocks_have_the_rows_and_errors_of_single_rows(
    text: str, characters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited_blocks, "_CHARACTERS", characters)
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    single, blocks = delimited.rows(Dialect(), path, "ab", "ba"), delimited_blocks.blocks(Dialect(), path, "ab", "ba")
    found = []
    for rows in (single, (row for block in blocks for row in block.rows())):
        read: list[object] = []
        try:
            read.extend(rows)
        except SourceError as error:
            read.append(str(error))
        found.append(read[-1:] if isinstance(read[-1], str) else read)
    assert found[0] == found[1]


def test_plain_quoted_cells_are_split_by_arrow(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"a","b"\n"1","x, ""y"""\n2,"é"\n')
    pieces = list(delimited_blocks.pieces(Dialect(), path, 2, [1]))
    assert all(isinstance(piece, delimited_blocks.RowBlock) for piece in pieces)
    assert [row for piece in pieces for row in piece.rows()] == [(1, ["b"]), (2, ['x, "y"']), (3, ["é"])]  # type: ignore[union-attr]


TYPES: dict[str, dict[str, Any]] = {
    "all": {"numbers": ["f", "f32", "i"], "categories": ["c", "i8", "b", "d"], "label": "l"},
    "number of a class": {"numbers": ["f"], "label": "i8", "classes": ["u", "v", "w"], "group": "d"},
    "truth value as a label": {"numbers": ["f"], "label": "b"},
    "fraction as a category": {"categories": ["f"], "label": "l"},
    "infinite": {"numbers": ["f", "infinite"], "label": "l"},
    "target": {"numbers": ["i8"], "target": "f", "unlabelled": "leave_out", "missing_values": [0, "1"]},
}


@pytest.mark.parametrize("name", TYPES)
def test_a_parquet_file_is_read_by_column_as_sample_by_sample(name: str, tmp_path: Path) -> None:
    count = 1100
    numbers = np.random.default_rng(1).normal(size=count)
    file = {
        "f": pa.array(numbers, mask=np.arange(count) % 7 == 0),
        "f32": pa.array(numbers.astype(np.float32)),
        "i": pa.array(np.arange(count) * 2**52 + 1),
        "i8": pa.array((np.arange(count) % 3).astype(np.int8)),
        "b": pa.array(numbers > 0),
        "c": pa.array([None if row % 5 == 0 else f" é{row % 4}" for row in range(count)], pa.large_string()),
        "d": pa.array(["x", "y"] * (count // 2)).dictionary_encode(),
        "l": pa.array([None if row == 900 else "uv"[row % 2] for row in range(count)]),
        "infinite": pa.array(np.where(np.arange(count) == 1050, np.inf, 1.0)),
    }
    pq.write_table(pa.table(file), tmp_path / "t.parquet")
    layout = TableLayout(kind="parquet", files={"": "t.parquet"}, **{"unlabelled": "leave_out", **TYPES[name]})
    found = []
    for by_column in (False, True):
        samples = table.samples(layout, tmp_path, lambda _: None)
        path = tmp_path / f"{by_column}.parquet"
        try:
            written = sample_file.write(samples if by_column else iter(list(samples)), path, "x", layout.fields)
            found.append((written, path.read_bytes()))
        except SourceError as error:
            found.append((str(error), b""))
    assert found[0] == found[1]
