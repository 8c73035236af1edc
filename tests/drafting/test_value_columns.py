"""Numbers of whole columns, and cells of labels: as they are read row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.errors import SourceError
from components.drafting import label_cells, series, table_files, value_columns
from components.ingestion import delimited_blocks

PLAIN = (".", None)


def table(tmp_path: Path, rows: list[str], monkeypatch: pytest.MonkeyPatch) -> table_files.Files:
    monkeypatch.setattr(delimited_blocks, "_CHARACTERS", 40)  # several blocks
    (tmp_path / "t.csv").write_text("\n".join(["x,y,l", *rows]))
    return table_files.open_files({"": [tmp_path / "t.csv"]}, "csv")


def test_words_are_counted_in_the_order_of_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["1,2,u", "?,NA,u", " 3 ,?,v", "1_0,,v", "NA,inf,u", "1e400,-0.5,u", "n/a,7,v"] * 3
    files = table(tmp_path, rows, monkeypatch)
    words: dict[str, int] = {}
    expected = np.stack([series.row_of(cells, "xy", where, PLAIN, words) for where, cells in files.rows(["x", "y"])])
    found, found_words = value_columns.read(files, ["x", "y"], PLAIN)
    np.testing.assert_array_equal(np.stack(found, axis=1), expected)
    assert list(found_words.items()) == list(words.items()) == [("?", 6), ("NA", 6), ("n/a", 3)]


def test_the_first_cell_that_is_no_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = table(tmp_path, ["1,2,u"] * 30 + ["1,two,u", "one,2,u"], monkeypatch)
    with pytest.raises(SourceError, match=r"line 32\n.*'two' in the column y"):
        value_columns.read(files, ["x", "y"], PLAIN)


def test_rows_without_a_label_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = table(tmp_path, ["1,2,u", "3,4, "] * 20, monkeypatch)
    found = label_cells.without(files, "l", lambda cell: not cell.strip())
    assert (found.rows, found.missing) == (40, 20)
    assert [place.rpartition(" ")[2] for place in found.first] == ["3", "5", "7"]
    assert label_cells.different(files, "l") == {"u", " "}


def test_far_values_are_told_by_their_neighbours() -> None:
    near = np.tile(np.arange(9.0), 5)
    assert series.far(np.concatenate([near, [-999, -999, np.nan, np.inf]])) == [(-999.0, 2)]
    assert series.far(np.concatenate([near, [1e6]])) == [(1e6, 1)]
    assert series.far(near) == []
    assert series.far(np.array([1.0] * 9 + [2, 1000])) == []  # three different values


def test_columns_of_a_parquet_file_are_the_text_of_its_rows(tmp_path: Path) -> None:
    columns = {"f": [1.0, None, float("nan"), 1e300], "i": [1, None, 3, 4], "t": ["a", None, "", " b"],
               "b": [True, None, False, True]}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    files = table_files.open_files({"": [tmp_path / "t.parquet"]}, "parquet")
    (rows,) = files.blocks(list(columns))
    assert [cells for _, cells in files.rows(list(columns))] == [cells for _, cells in rows.block.rows()]
    assert rows.place(3) == f"{tmp_path / 't.parquet'} row 3"
