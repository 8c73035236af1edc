"""Sets of labels from tables: columns of 0 and 1, lists in text, in JSON lines and in Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.contracts.table_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import table


def read(folder: Path, name: str, content: str | bytes, said: list[str], **keys: Any) -> list[list[str]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    layout = TableLayout.model_validate({"kind": path.suffix[1:], "files": {"": name}, "text": "text", **keys})
    assert layout.fields == {"text": "text", "labels": "json"}
    return [sample.values["labels"] for sample in table.samples(layout, folder, said.append)]


def test_columns_of_0_and_1_are_labels_and_a_row_without_any_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    rows = 'id,text,toxic,threat\n1,"a, b",0,1\n2,c,1.0,TRUE\n3,d,0,0\n'
    found = read(tmp_path, "t.csv", rows, said, labels=["toxic", "threat"])
    assert found == [["threat"], ["threat", "toxic"], []]
    assert said == ["1 of 3 samples have no label at all"]


def test_cells_that_are_neither_0_nor_1_are_refused_all_at_once_by_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 of 3 rows have labels that cannot be read") as caught:
        read(tmp_path, "t.csv", "text,a,b\nx,0,1\ny,-1,0\nz,1,\n", [], labels=["a", "b"])
    assert caught.value.where.endswith("t.csv line 3")
    assert caught.value.got.startswith("a is '-1'")
    assert "line 4: b is empty" in caught.value.got
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("separator", "cells"),
    [(";", ["b; a", "a;;a", ""]), ("json", ['["b", "a"]', '["a", "a"]', "[]"]),
     ("python", ["['b', 'a']", "['a','a']", ""])],
)  # fmt: skip
def test_lists_in_text_are_read_by_their_separator(separator: str, cells: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    rows = "text\ttags\n" + "".join(f"x{i}\t{cell}\n" for i, cell in enumerate(cells))
    found = read(tmp_path, "t.tsv", rows, said, labels="tags", labels_separator=separator)
    assert found == [["a", "b"], ["a"], []]
    assert "1 of 3 samples have no label at all" in said
    assert "1 of 3 samples have a label twice, which is read as once" in said
    assert ("1 times nothing is between two separators of labels, which is left out" in said) == (separator == ";")


def test_lists_of_parquet_are_labels_or_numbers_of_classes(tmp_path: Path) -> None:
    columns = {"text": ["x", "y", "z"], "names": [["b", "a"], [], None], "numbers": [[1, 0], [2], []]}
    pq.write_table(pa.table(columns), tmp_path / "made.parquet")
    content = (tmp_path / "made.parquet").read_bytes()
    assert read(tmp_path, "t.parquet", content, [], labels="names") == [["a", "b"], [], []]
    named = read(tmp_path, "t.parquet", content, [], labels="numbers", classes=["no", "yes", "so"])
    assert named == [["no", "yes"], ["so"], []]
    with pytest.raises(SourceError, match="1 of 3 rows") as caught:
        read(tmp_path, "t.parquet", content, [], labels="numbers", classes=["no", "yes"])
    assert "2 is no number of 0 to 1" in caught.value.got


def test_json_lines_are_rows(tmp_path: Path) -> None:
    rows = [{"text": "x", "labels": ["b", "a"]}, {"text": "y", "labels": []}, {"text": "z"}]
    lines = "".join(json.dumps(row) + "\n\n" for row in rows)
    assert read(tmp_path, "t.jsonl", lines, [], labels="labels") == [["a", "b"], [], []]
    with pytest.raises(SourceError, match="no JSON") as caught:
        read(tmp_path, "t.jsonl", lines + "{", [], labels="labels")
    assert caught.value.where.endswith("t.jsonl line 7")
    with pytest.raises(SourceError, match="no object"):
        read(tmp_path, "t.jsonl", "[1]\n", [], labels="labels")
    with pytest.raises(SourceError, match="columns are missing"):
        read(tmp_path, "t.jsonl", lines, [], labels="tags")
    single = TableLayout.model_validate({"kind": "jsonl", "files": {"": "u.jsonl"}, "text": "text"})
    (tmp_path / "u.jsonl").write_text('{"text": "x", "label": 1}\n')
    assert [sample.values["label"] for sample in table.samples(single, tmp_path)] == ["1"]


def test_text_where_lists_are_expected_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "t.csv", "text,tags\nx,a|b\n", [], labels="tags")
    assert "labels_separator" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"labels": "a", "label": "b"}, "give one of them"),
        ({"labels": ["a", "a"]}, "named twice"),
        ({"labels": ["a", "b"], "labels_separator": ";"}, "labels_separator"),
        ({"label": "a", "labels_separator": ";"}, "labels_separator"),
        ({"labels": ["a", "b"], "classes": ["x", "y"]}, "classes"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TableLayout.model_validate({"kind": "csv", "files": {"": "t.csv"}, "text": "text", **keys})


def test_the_dump_of_tables_of_before_is_as_it_was() -> None:
    layout = TableLayout.model_validate({"kind": "csv", "files": {"": "t.csv"}, "text": "text"})
    assert not {"labels", "labels_separator"} & layout.model_dump(mode="json").keys()
    assert layout.label == "label"
