"""Tables of features: numbers and categories as they are, null where there is none; labels or targets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import sample_file, table
from components.ingestion.sample import Sample

CSV = """age;job;new;price
31;clerk;True;1.234,5
?; smith ;FALSE;2,0
40,5;;true;3
"""
COMMON: dict[str, Any] = {"kind": "csv", "numbers": ["age"], "categories": ["job", "new"], "files": {"": "a.csv"}}
MARKS: dict[str, Any] = {"delimiter": ";", "decimal": ",", "thousands": ".", "missing_values": ["?"]}

POINT = {"decimal": None, "thousands": None}


def read(folder: Path, text: str = CSV, **keys: Any) -> list[Sample]:
    (folder / "a.csv").write_text(text)
    return list(table.samples(TableLayout(**{**COMMON, **MARKS, "target": "price", **keys}), folder))


def test_values_stay_what_they_are(tmp_path: Path) -> None:
    samples = read(tmp_path)
    assert [sample.values["row"] for sample in samples] == [
        {"age": 31, "job": "clerk", "new": "true"},
        {"age": None, "job": "smith", "new": "false"},
        {"age": 40.5, "job": None, "new": "true"},
    ]
    assert [sample.values["target"].tolist() for sample in samples] == [[1234.5], [2.0], [3.0]]
    layout = TableLayout(**COMMON, **MARKS, target="price")
    written = sample_file.write(iter(samples), tmp_path / "samples.parquet", "x", layout.fields)
    assert (written.samples, written.labels) == (3, {})
    (group,) = sample_file.groups(tmp_path / "samples.parquet")
    assert [one.values["row"] for one in group] == [one.values["row"] for one in samples]


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (CSV.replace("31;", "old;"), {}, "a value that is no number"),
        (CSV.replace("31;", "inf;").replace("1.234,5", "1"), POINT, "an infinite number"),
        (CSV.replace("1.234,5", "inf"), POINT, "an infinite target"),
        (CSV.replace("2,0", "?"), {}, "no target"),
        (CSV, {"numbers": ["weight"]}, "columns are missing"),
        (CSV, {"target": None, "label": "price", "classes": {"3": "three"}}, "a label without a class"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    text: str, keys: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        read(tmp_path, text, **keys)
    assert "a.csv" in str(caught.value.where)


def test_rows_without_a_target_can_be_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "a.csv").write_text(CSV.replace("2,0", "?"))
    layout = TableLayout(**COMMON, **MARKS, target="price", unlabelled="leave_out")
    assert len(list(table.samples(layout, tmp_path, said.append))) == 2
    assert said == ["1 of 3 rows have no target and are left out"]


def test_names_of_cells_are_classes(tmp_path: Path) -> None:
    samples = read(
        tmp_path, target=None, label="job", categories=["new"], unlabelled="leave_out",
        classes={"clerk": "office", "smith": "forge"},
    )  # fmt: skip
    assert [sample.values["label"] for sample in samples] == ["office", "forge"]


def test_parquet_has_types_of_its_own(tmp_path: Path) -> None:
    columns = {"age": [31.0, None, 40.5], "job": ["clerk", None, "smith"], "new": [True, False, None],
               "code": [1.0, 2.0, None], "price": [1, 2, 3]}  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    (tmp_path / "a.parquet").write_bytes(stream.getvalue())
    keys = {"kind": "parquet", "files": {"": "a.parquet"}, "categories": ["job", "new", "code"], "target": "price"}
    rows = [sample.values["row"] for sample in table.samples(TableLayout(**{**COMMON, **keys}), tmp_path)]
    assert rows[0] == {"age": 31, "job": "clerk", "new": "true", "code": "1"}
    assert rows[2] == {"age": 40.5, "job": "smith", "new": None, "code": None}
    with pytest.raises(SourceError, match="a value that is no category"):
        list(table.samples(TableLayout(**{**COMMON, **keys, "numbers": None, "categories": ["age"]}), tmp_path))


def test_sources_without_features_have_the_digest_of_before() -> None:
    dumped = TableLayout(kind="csv", files={"": "a.csv"}, text="text").model_dump(mode="json")
    assert not {"numbers", "categories", "target"} & dumped.keys()
    assert TableLayout(kind="csv", files={"": "a.csv"}, text="text", target="stars").label is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"label": "job"}, "stands twice"),
        ({"label": "price", "target": "size"}, "a label or a target"),
        ({"text": "text"}, "exactly one"),
        ({"label": None, "unlabelled": "leave_out"}, "needs label: or target:"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TableLayout(**{**COMMON, **keys})
