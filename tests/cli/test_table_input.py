"""Rows of a file for `modelyard predict` and `modelyard score`: an encoding that is not the dataset's is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.scoring import table_form
from flows.cli import predict, prediction_client, table_input

SCHEMA = {"properties": {"city": {"type": "string"}}}
ANSWER = {"label": "a", "probabilities": {"a": 1.0}, "unknown_categories": ["city"]}


def dataset(encoding: str) -> Columns:
    return Columns(kind="csv", categories=["city"], label="label", encoding=encoding)


def test_utf8_rows_for_a_dataset_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("city\nKöln\nBonn\n", encoding="utf-8")
    found = table_input.read(path, "csv", SCHEMA, dataset("cp1252"))
    assert [row["city"] for row in found.rows] == ["KÃ¶ln", "Bonn"]
    (note,) = found.notes
    assert "rows.csv is UTF-8, and is read as cp1252: line 2 has KÃ¶ln, in UTF-8 Köln" in note
    assert table_form._encoding_notes(path, "cp1252") == [note]
    assert table_input.read(path, "csv", SCHEMA, dataset("utf-8")).notes == []


def test_rows_that_are_no_utf8_for_a_dataset_that_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("city\nBonn\nKöln\n".encode("cp1252"))
    for read in (
        lambda: table_input.read(path, "csv", SCHEMA, dataset("utf-8")),
        lambda: table_form._encoding_notes(path, "utf-8"),
    ):
        with pytest.raises(SourceError, match="not utf-8 text") as caught:
            read()
        assert str(caught.value.where).endswith("rows.csv line 3")
    path.write_bytes("city\nKöln\nKöln\n".encode() + b"B\xffnn\n")
    (note,) = table_form._encoding_notes(path, "utf-8")  # damage of a few places costs no scoring of all other rows
    assert "rows.csv line 4 is not UTF-8" in note


def test_json_lines_are_read_in_the_encoding_of_the_dataset(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"city": "Köln"}\n'.encode("cp1252"))
    columns = Columns(kind="jsonl", categories=["city"], label="label", encoding="cp1252")
    assert table_input.read(path, "jsonl", SCHEMA, columns).rows == [{"city": "Köln"}]
    with pytest.raises(SourceError, match="not utf-8 text"):
        table_input.read(path, "jsonl", SCHEMA, dataset("utf-8").model_copy(update={"kind": "jsonl"}))


def test_unknown_categories_are_in_the_plain_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert prediction_client.describe(ANSWER, "version 1") == "a  (1.000, version 1)  unknown categories: city"
    known = {**ANSWER, "unknown_categories": []}
    assert prediction_client.describe(known, "version 1") == "a  (1.000, version 1)"
    answers = [predict._Answer("r", {"predictions": [one]}) for one in (ANSWER, known)]
    predict._say_unknown(answers)
    assert "of 2 rows some have categories that train does not know: city (1)" in capsys.readouterr().err
    predict._say_unknown(answers[:1])
    assert capsys.readouterr().err == ""
