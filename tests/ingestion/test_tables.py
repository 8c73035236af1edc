"""Tables as they are met: how they are written is stated in the layout, and what does not fit is refused by name."""

from __future__ import annotations

import csv
import math
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.contracts.table_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import number_cells, table, text_encoding, times
from components.ingestion.sample import Sample

PNG = b"\x89PNG"


def read(folder: Path, kind: str = "csv", **keys: Any) -> list[Sample]:
    return list(table.samples(TableLayout(kind=kind, **{"files": {"": "t.csv"}, **keys}), folder))  # type: ignore[arg-type]


def refused(folder: Path, **keys: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(folder, **keys)
    return caught.value


def test_keys_at_their_default_are_no_part_of_the_digest() -> None:
    layout = TableLayout(kind="csv", files={"": "a.csv"}, text="t")
    assert list(layout.model_dump(mode="json")) == [
        "kind", "label", "image", "pixels", "text", "values", "time", "split", "classes", "header", "columns",
        "encoding", "files",
    ]  # fmt: skip
    assert layout.model_dump(mode="json")["files"] == {"": "a.csv"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"text": "t", "encoding": "utf-99"}, "no encoding that Python knows"),
        ({"text": "t", "encoding": "rot13"}, "not an encoding of text"),
        ({"text": "t", "delimiter": "ab"}, "at most 1 character"),
        ({"text": "t", "delimiter": '"'}, "separate cells"),
        ({"text": "t", "decimal": ","}, "need values"),
        ({"values": ["a"], "decimal": ",", "thousands": ","}, "same mark"),
        ({"values": ["a"], "order": "newest_first"}, "need time"),
        ({"values": ["a"], "time": "t", "time_format": "iso"}, "strptime"),
        ({"text": "t", "label": None, "unlabelled": "leave_out"}, "needs label"),
        ({"text": "t", "image_suffix": ".jpg"}, "need image"),
        ({"pixels": "p", "comment": "#"}, "not for pixels"),
        ({"text": "t", "kind": "tsv", "delimiter": ";"}, "separated by tabs"),
        ({"text": "t", "kind": "parquet", "skip_lines": 2}, "of CSV and TSV"),
        ({"text": "t", "files": {"train": ["a.csv", "a.csv"]}}, "named twice"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TableLayout(**{"kind": "csv", "files": {"": "t.csv"}, **keys})


def test_several_files_a_split_have_ids_of_their_own(tmp_path: Path) -> None:
    for name, label in (("a/x.csv", "one"), ("b/x.csv", "two"), ("t.csv", "three")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text,label\nhello,{label}\n")
    rows = read(tmp_path, files={"train": ["a/x.csv", "b/x.csv"], "dev": "t.csv"}, text="text")
    assert [(row.id, row.split, row.values["label"]) for row in rows] == [
        ("train/a/x.csv/000000", "train", "one"),
        ("train/b/x.csv/000000", "train", "two"),
        ("dev/000000", "validation", "three"),
    ]


# How a file is written


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "cp1250"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_every_encoding_and_line_end(encoding: str, end: str, kind: str, tmp_path: Path) -> None:
    mark = "\t" if kind == "tsv" else ","
    text = end.join([f"text{mark}label", f"süß{mark}a", f"müde{mark}b", ""])
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    rows = read(tmp_path, kind=kind, text="text", encoding=encoding)
    assert [row.values for row in rows] == [{"text": "süß", "label": "a"}, {"text": "müde", "label": "b"}]


@pytest.mark.parametrize(
    ("content", "keys", "words", "next_step"),
    [
        ("text,label\na,b\n".encode("utf-16"), {}, "not utf-8 text", "encoding: utf-16"),
        ("text,label\na,b\n".encode("utf-16-le"), {}, "not utf-8 text", "encoding: utf-16-le"),
        (b"text,label\na\x84,b\n", {"encoding": "latin-1"}, "not latin-1 text", "cp1252"),
        (b"text,label\nok,b\na\x81,b\n", {"encoding": "cp1252"}, "not cp1252 text", "encoding:"),
        (b"text;label\na;b\n", {}, "columns are missing", 'delimiter: ";"'),
        (b"text\tlabel\na\tb\n", {}, "columns are missing", r'delimiter: "\t"'),
        (b"sep=;\ntext;label\na;b\n", {}, "columns are missing", "skip_lines: 1"),
        (b"Some report\ntext,label\na,b\n", {}, "columns are missing", "skip_lines:"),
        (b"text,label\na,b\nTotal: 1\n", {}, "cannot be read", "skip_last_lines:"),
    ],
)
def test_what_does_not_fit_names_the_key_to_set(
    content: bytes, keys: dict[str, Any], words: str, next_step: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    error = refused(tmp_path, text="text", **keys)
    assert words in error.what
    assert next_step in str(error.next_step)


def test_bytes_that_are_not_in_the_encoding_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"text,label\nok,b\na\x81,b\n")
    assert str(refused(tmp_path, text="text", encoding="cp1252").where).endswith("line 3")


def test_lines_above_and_below_and_comments(tmp_path: Path) -> None:
    content = 'A report;;\n\ntext;label\n# none;\n"# not a\n# comment";a\nb;b\n# end\nTotal: 2\n\n'
    (tmp_path / "t.csv").write_text(content)
    keys: dict[str, Any] = {"delimiter": ";", "skip_lines": 2, "skip_last_lines": 2, "comment": "#", "text": "text"}
    assert [row.values["text"] for row in read(tmp_path, **keys)] == ["# not a\n# comment", "b"]
    (tmp_path / "t.csv").write_text(content.replace("b;b", "b;b;c"))
    assert str(refused(tmp_path, **keys).where).endswith("line 7")


def test_blanks_around_names_and_an_empty_last_cell_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time, value,\n2020-01-01, 1.5,\n")
    (row,) = read(tmp_path, values=["value"], time="time", label=None)
    assert row.values["values"].tolist() == [1.5]
    (row,) = read(tmp_path, values=[" value"], time="time", label=None)  # as a layout of before spells it
    assert row.values["values"].tolist() == [1.5]
    (tmp_path / "t.csv").write_text("text,label\na,b,\n")
    assert len(read(tmp_path, text="text")) == 1


def test_a_cell_of_any_length(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], ["x, " * 100_000, "a"]])
    (row,) = read(tmp_path, text="text")
    assert len(row.values["text"]) == 300_000


# Numbers


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "value"),
    [
        ("1.5", ".", None, 1.5), (" 1.5 ", ".", None, 1.5), ("1,5", ".", None, None), ("1,5", ",", None, 1.5),
        ("1.5", ",", None, None), ("1,234.5", ".", ",", 1234.5), ("1.234,5", ",", ".", 1234.5),
        ("-12.345.678", ",", ".", -12345678.0), ("1,23", ".", ",", None), ("0,123", ".", ",", None),
        ("1234,567", ".", ",", None), ("1 234,5", ",", " ", 1234.5), ("1'234", ".", "'", 1234.0), ("x", ",", ".", None),
    ],
)  # fmt: skip
def test_marks_of_numbers(text: str, decimal: str, thousands: str | None, value: float | None) -> None:
    assert number_cells.parse(text, decimal, thousands) == value


def test_numbers_with_marks_and_words_for_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('label,a,b\nx,"1.234,5",?\nx,-999,"3,5"\nx, ,NA\n')
    keys: dict[str, Any] = {"values": ["a", "b"], "decimal": ",", "thousands": ".", "missing_values": ["?", "NA", -999]}
    rows = [row.values["values"].tolist() for row in read(tmp_path, **keys)]
    assert rows[0][0] == 1234.5
    assert rows[1][1] == 3.5
    assert [math.isnan(value) for row in rows for value in row] == [False, True, True, False, True, True]
    error = refused(tmp_path, values=["a", "b"])
    assert str(error.where).endswith("line 2")
    assert "in the column a" in str(error.got)
    assert '`decimal: ","` and `thousands: "."`' in str(error.next_step)


# Labels


@pytest.mark.parametrize("text", [True, False])
def test_one_converter_of_labels_for_text_and_parquet(text: bool, tmp_path: Path) -> None:
    labels = [1.0, 0.0, None, 1.0, math.nan]
    if text:
        (tmp_path / "t.csv").write_text(
            "text,label\n" + "".join(f"x,{'' if i in (2, 4) else labels[i]}\n" for i in range(5))
        )
    else:
        pq.write_table(pa.table({"text": ["x"] * 5, "label": pa.array(labels, pa.float64())}), tmp_path / "t.csv")
    kind = "csv" if text else "parquet"
    error = refused(tmp_path, kind=kind, text="text", classes=["no", "yes"])
    assert (error.what, str(error.got)) == ("no label", f"2 of 5 rows have none; also {6 if text else 4}")
    assert str(error.where).endswith("line 4" if text else "row 2")
    assert "unlabelled: leave_out" in str(error.next_step)
    said: list[str] = []
    layout = TableLayout(kind=kind, files={"": "t.csv"}, text="text", classes=["no", "yes"], unlabelled="leave_out")  # type: ignore[arg-type]
    rows = list(table.samples(layout, tmp_path, said.append))
    assert [(row.id, row.values["label"]) for row in rows] == [
        ("t/000000", "yes"), ("t/000001", "no"), ("t/000003", "yes"),
    ]  # fmt: skip
    assert said == ["2 of 5 rows have no label and are left out"]


@pytest.mark.parametrize("value", [1.7, -0.5, math.inf, -1.0, 2.0, 1e300])
@pytest.mark.parametrize("text", [True, False])
def test_labels_that_are_no_class_are_refused_with_their_row(value: float, text: bool, tmp_path: Path) -> None:
    if text:
        (tmp_path / "t.csv").write_text(f"text,label\nx,1.0\nx,{value}\n")
    else:
        pq.write_table(pa.table({"text": ["x", "x"], "label": [1.0, value]}), tmp_path / "t.csv")
    error = refused(tmp_path, kind="csv" if text else "parquet", text="text", classes=["no", "yes"])
    assert error.what in ("a label that is no number", "a label without a class")
    assert str(error.where).endswith("line 3" if text else "row 1")


def test_words_are_names(tmp_path: Path) -> None:
    words = ["NA", "null", "None", "nan", "true", "1e3", "01", "1"]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"x, {word} \n" for word in words))
    assert [row.values["label"] for row in read(tmp_path, text="text")] == words


# Times


@pytest.mark.parametrize(
    ("text", "time_format", "iso"),
    [
        ("2020-01-31", None, "2020-01-31T00:00:00"), ("2020-01-31 23:00:00+01:00", None, "2020-01-31T23:00:00+01:00"),
        ("2020-01-31T23:00:00Z", None, "2020-01-31T23:00:00+00:00"), ("2020-01", None, "2020-01-01T00:00:00"),
        ("2020/1/31 5:00", None, None), ("2020/01/31 05:00", None, "2020-01-31T05:00:00"),
        ("20200131", None, "2020-01-31T00:00:00"), ("2020-01-31 23:00 UTC", None, "2020-01-31T23:00:00+00:00"),
        ("1577836800", None, None), ("1577836800000", None, None), ("2020-01-31 23:00 CET", None, None),
        ("31/01/2020", None, None), ("31/01/2020", "%d/%m/%Y", "2020-01-31T00:00:00"), ("", None, None),
        ("1577836800", "epoch_seconds", "2020-01-01T00:00:00+00:00"), ("soon", "epoch_seconds", None),
        ("1577836800000", "epoch_milliseconds", "2020-01-01T00:00:00+00:00"), ("2020-02-30", None, None),
    ],
)  # fmt: skip
def test_times(text: str, time_format: str | None, iso: str | None) -> None:
    parsed = times.parse(text, time_format)
    assert (parsed.isoformat() if parsed is not None else None) == iso


@pytest.mark.parametrize(
    ("second", "words", "next_step"),
    [
        ("yesterday", "cannot be read", "time_format"),
        ("", "cannot be read", "remove the row"),
        ("2020-01-02 01:00 DST", "cannot be read", "the zone DST"),
        ("2020-01-02T00:00:00Z", "with and without an offset", None),
    ],
)
def test_a_time_that_cannot_be_read_is_refused_with_its_line(
    second: str, words: str, next_step: str | None, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(f"when,v\n2020-01-01,1\n{second},2\n")
    error = refused(tmp_path, values=["v"], time="when", label=None)
    assert words in error.what
    assert str(error.where).endswith("t.csv line 3")
    assert next_step is None or next_step in str(error.next_step)


def test_a_time_keeps_its_text_unless_it_has_a_format(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("when,v\n01.02.2020,1\n")
    (row,) = read(tmp_path, values=["v"], time="when", label=None, time_format="%d.%m.%Y")
    assert row.values["time"] == "2020-02-01 00:00:00"
    (tmp_path / "t.csv").write_text("when,v\n2020/02/01,1\n")
    (row,) = read(tmp_path, values=["v"], time="when", label=None)
    assert row.values["time"] == "2020/02/01"


def test_newest_first_and_values_that_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("when,a,b\n2020-01-03,,3\n2020-01-02,2,\n2020-01-01,1,1\n")
    keys: dict[str, Any] = {"values": ["a", "b"], "time": "when", "label": None, "order": "newest_first"}
    rows = read(tmp_path, missing="forward_fill", **keys)
    assert [row.id for row in rows] == ["t/000002", "t/000001", "t/000000"]
    assert [row.values["values"].tolist() for row in rows] == [[1, 1], [2, 1], [2, 3]]
    (tmp_path / "t.csv").write_text("when,a,b\n2020-01-02,2,\n2020-01-01,1,\n")
    assert "no value before it" in refused(tmp_path, missing="forward_fill", **keys).what


# Images


def test_paths_of_images_with_a_folder_and_a_suffix(tmp_path: Path) -> None:
    (tmp_path / "pictures/in").mkdir(parents=True)
    (tmp_path / "tables").mkdir()
    (tmp_path / "pictures/in/a.png").write_bytes(PNG)
    (tmp_path / "tables/t.csv").write_text("id,label\nin\\a,x\nin/a,y\n")
    keys: dict[str, Any] = {
        "files": {"": "tables/t.csv"},
        "image": "id",
        "image_folder": "../pictures",
        "image_suffix": ".png",
    }
    assert [row.values["image"] for row in read(tmp_path, **keys)] == [PNG, PNG]
    error = refused(tmp_path, **{**keys, "image_suffix": ".jpg"})
    assert (error.what, str(error.where).endswith("line 2")) == ("no such image", True)
    assert "outside" in refused(tmp_path, **{**keys, "image_folder": "../.."}).what


def test_words_for_no_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,good\nb,-\nc,bad\nd, n/a \n")
    keys = {"text": "text", "missing_values": ["-", "n/a"]}
    assert [row.values["label"] for row in read(tmp_path, **keys, unlabelled="leave_out")] == ["good", "bad"]
    assert "2 of 4 rows have none" in str(refused(tmp_path, **keys).got)


@pytest.mark.slow
def test_a_large_table_is_read_with_flat_memory(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w") as file:
        file.write("label,a,b\n")
        file.writelines(f"x,{number},{number / 7:.3f}\n" for number in range(60_000))
    layout = TableLayout(kind="csv", files={"": "t.csv"}, values=["a", "b"])
    tracemalloc.start()
    try:
        assert sum(1 for _ in table.samples(layout, tmp_path)) == 60_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_utf8_that_is_read_as_another_encoding_is_said_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\nBonn,a\nKöln am Rhein,b\n", encoding="utf-8")
    for batched, content in ((False, {"text": "text"}), (True, {"categories": ["text"]})):
        said: list[str] = []
        layout = TableLayout(kind="csv", files={"": "t.csv"}, label="label", encoding="cp1252", **content)  # type: ignore[arg-type]
        found = table.samples(layout, tmp_path, said.append)
        assert len(list(found)) == 2, batched
        (sentence,) = said
        assert "t.csv is UTF-8, and is read as cp1252: line 3 has KÃ¶ln, in UTF-8 Köln" in sentence
        assert "`encoding: utf-8`" in sentence


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        ("a,b\nKöln,1\n".encode(), "utf-8", False), ("a,b\nKöln,1\n".encode("cp1252"), "cp1252", False),
        (b"a,b\nKoln,1\n", "cp1252", False), ("a,b\nKöln,1\n".encode("utf-16"), "utf-16", False),
        (b"\xef\xbb\xbfa,b\nKoln,1\n", "cp1252", False), ("a,b\nKöln,1\n".encode(), "latin-1", True),
        ("a,b\nKöln,1\n".encode() + "Köln,1\n".encode("cp1252"), "cp1252", False),
    ],
)  # fmt: skip
def test_only_what_is_utf8_beyond_ascii_is_said(tmp_path: Path, content: bytes, encoding: str, said: bool) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert (text_encoding.utf8_instead(tmp_path / "t.csv", encoding) is not None) == said


def test_what_is_no_utf8_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a\nKöln\n".encode() + "München\n".encode("cp1252"))
    error = text_encoding.first_not_utf8(path)
    assert error is not None
    assert (str(error.where), error.got) == (f"{path} line 3", "byte 0xfc at place 1")
    path.write_bytes("Köln".encode()[:2])
    assert text_encoding.first_not_utf8(path) is not None
    path.write_text("Köln", encoding="utf-8")
    assert text_encoding.first_not_utf8(path) is None
