"""A sample table in a file: the same table, the same verdict and the same report as in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from components.core.errors import ValidationRefused
from components.ingestion import sample_file
from components.ingestion import stage as ingestion
from components.ingestion.sample import Sample
from components.preparation import stage as preparation
from components.validation import duplicates, raw_rows, repeated_values, stored_duplicates, stored_table
from components.validation.stored_table import StoredTable

pytestmark = pytest.mark.filterwarnings(
    # of Great Expectations and what it imports, with pandas 3; nothing that we could do
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

COLUMN = "expect_column_"
ROW_BY_ROW: list[tuple[str, dict[str, Any]]] = [
    ("values_to_be_null", {}),
    ("values_to_not_be_null", {}),
    ("values_to_be_in_set", {"value_set": [1, 2, "a", "bb", True]}),
    ("values_to_not_be_in_set", {"value_set": [1, "a"]}),
    ("values_to_be_between", {"min_value": 0, "max_value": 3}),
    ("values_to_match_regex", {"regex": "^[a-z0-9]+$"}),
    ("value_lengths_to_be_between", {"min_value": 1, "max_value": 2}),
]
FEW_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("values_to_be_unique", {}),
    ("distinct_values_to_be_in_set", {"value_set": [1, 2, "a"]}),
    ("distinct_values_to_contain_set", {"value_set": [1, "a"]}),
    ("distinct_values_to_equal_set", {"value_set": [0, 1, 2, 3, 4, 5]}),
    ("unique_value_count_to_be_between", {"max_value": 5}),
    ("min_to_be_between", {"min_value": 0}),
    ("max_to_be_between", {"max_value": 3}),
]
WHOLE_COLUMNS: list[tuple[str, dict[str, Any]]] = [
    ("mean_to_be_between", {"column": "n", "max_value": 1}),
    ("quantile_values_to_be_between",
     {"column": "f", "quantile_ranges": {"quantiles": [0.1, 0.5], "value_ranges": [[0, 1], [0, 3]]}}),
    ("values_to_be_increasing", {"column": "up"}),
    ("values_to_be_between", {"column": "i", "min_value": 0, "row_condition": "n > 0", "condition_parser": "pandas"}),
    ("values_to_be_of_type", {"column": "up", "type_": "int64"}),
    ("values_to_be_between", {"column": "t", "min_value": 0}),  # cannot be evaluated
]  # fmt: skip
OF_SEVERAL_COLUMNS: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "i", "column_B": "up"}),
    ("expect_column_pair_values_to_be_equal",
     {"column_A": "n", "column_B": "late", "ignore_row_if": "either_value_is_missing"}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "n", "column_B": "late", "mostly": 0.1}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["i", "up"], "sum_total": 3}),
    ("expect_table_row_count_to_equal", {"value": 40}),
    ("expect_table_column_count_to_equal", {"value": 9}),
    ("expect_column_to_exist", {"column": "t", "column_index": 4}),
]  # fmt: skip


def numbers(seed: int, rows: int) -> pd.DataFrame:
    """Columns with values of all kinds, some of them missing; a column of none, and one whose first half is missing."""
    rng = np.random.default_rng(seed)
    n, f = rng.integers(0, 6, rows).astype("float64"), rng.normal(size=rows).round(1)
    n[rng.random(rows) < 0.2] = f[rng.random(rows) < 0.1] = np.nan
    f[1:4] = np.array([np.inf, -0.0, 0.0])[: len(f[1:4])]
    ids = [f"s{row % 37}" for row in range(rows)]
    texts = pd.Series(rng.choice(["a", "bb", "1", "é", ""], rows) if rows else [], dtype="str")
    texts[rng.random(rows) < 0.15] = None
    late = np.where(np.arange(rows) < rows / 2, np.nan, 1.0)
    columns = {"id": pd.Series(ids, dtype="str"), "n": n, "f": f, "i": rng.integers(-3, 3, rows), "t": texts}
    return pd.DataFrame(
        {**columns, "b": rng.random(rows) < 0.3, "none": pd.Series([None] * rows, dtype=object), "late": late,
         "up": np.arange(rows)}
    )  # fmt: skip


def stored(table: pd.DataFrame, folder: Path, step: int = 9) -> StoredTable:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.cast(
        pa.schema([(one.name, pa.float64() if pa.types.is_null(one.type) else one.type) for one in arrow.schema])
    )
    parts = [arrow.slice(start, step) for start in range(0, max(1, len(table)), step)]
    return StoredTable(folder, parts, empty_as_none=True)


@pytest.mark.slow
def test_verdicts_are_those_of_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.validation.suite import ExpectationSpec, Suite

    monkeypatch.setattr(stored_table, "BATCH_ROWS", 27)
    table, rng = numbers(seed=0, rows=40), np.random.default_rng(0)
    kinds = [(kind, kwargs, column) for column in ("t", "late") for kind, kwargs in ROW_BY_ROW]
    kinds += [
        (kind, {**kwargs, "mostly": float(rng.choice([0.0, 0.5, 0.8, 0.95]))}, column)
        for kind, kwargs, column in kinds[::6]
    ]
    kinds += [(kind, kwargs, column) for column in ("f", "none") for kind, kwargs in FEW_ROWS]
    kinds.append(("values_to_be_unique", {"mostly": 0.8}, "id"))
    expectations = [
        ExpectationSpec(type=COLUMN + kind, kwargs={"column": column, **kwargs}) for kind, kwargs, column in kinds
    ]
    expectations += [ExpectationSpec(type=COLUMN + kind, kwargs=kwargs) for kind, kwargs in WHOLE_COLUMNS]
    expectations += [ExpectationSpec(type=kind, kwargs=kwargs) for kind, kwargs in OF_SEVERAL_COLUMNS]
    suite, said = Suite("raw", expectations), list[str]()
    verdicts = [suite.judge(table, ""), suite.judge(stored(table, tmp_path), "", said.append)]
    for one, other in zip(*(verdict.results for verdict in verdicts), strict=True):
        assert one == other
    assert all(any(COLUMN + kind in line for line in said) for kind, _ in WHOLE_COLUMNS)


ROWS = """name: rows
task: tabular-classification
source: {path: table.csv, kind: csv, numbers: [x, n], categories: [c], label: l, split: s, group: g}
split: {group: group}
input: {may_be_missing: [x]}
"""
TEXTS = """name: rows
task: text-classification
source: {path: table.csv, kind: csv, text: c, label: l}
split: {near_duplicates: ignore}
input: {}
"""


def dataset(text: str) -> Path:
    """A dataset of 1,150 rows with copies, some of another label or in another split."""
    folder = Path("data/rows")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for row in range(1100):
        x = "" if rng.random() < 0.05 else f"{rng.normal():.2f}"
        c = f"name {rng.integers(90)}" if text is ROWS or row % 3 else f"name {row}"
        split = rng.choice(["train", "test", ""])
        lines.append(f"{x},{row % 7},{c},{'uv'[row % 3 > 1]},{split},g{row // 5}")
    lines += [line.replace(",u,", ",v,") for line in lines[5:40]]
    lines += [line.replace("train", "test") for line in lines[:15]]
    (folder / "table.csv").write_text("\n".join(["x,n,c,l,s,g", *lines]))
    (folder / "dataset.yaml").write_text(text)
    return folder


def suite(text: str) -> dict[str, Any]:
    """Drafted kinds; a few samples fail, in the prepared data more than are accepted."""

    def one(kind: str, column: str, **kwargs: Any) -> dict[str, Any]:
        return {"type": COLUMN + kind, "kwargs": {"column": column, **kwargs}, "description": ""}

    def false(column: str) -> dict[str, Any]:
        return one("values_to_be_in_set", column, value_set=[False], mostly=0.0)

    both = [
        one("values_to_be_unique", "id"),
        one("distinct_values_to_equal_set", "label", value_set=["u", "v"]),
        false("in_other_split"),
        false("label_conflict"),
        one("values_to_be_between", "copies", max_value=1, mostly=0.0),
    ]
    raw = [
        {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1150}, "description": "all"},
        one("values_to_not_be_null", "row.x", mostly=0.9),
        one("values_to_be_between", "row.x", min_value=-2, max_value=2, mostly=0.5),
    ]
    prepared = [
        one("values_to_be_in_set", "label_in_every_split", value_set=[True]),
        one("values_to_be_between", "copies_in_split", max_value=1),
        one("values_to_be_between", "label_balance", min_value=0.999),
    ]
    return {"raw": [*both, *(raw if text is ROWS else [])], "prepared": [*both, *prepared]}


@pytest.mark.slow
@pytest.mark.parametrize("text", [ROWS, TEXTS])
def test_files_are_those_of_the_whole_table(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from components.preparation import split_files
    from components.validation import stage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample_file, "_BATCH_ROWS", 1024)
    monkeypatch.setattr(split_files, "ROW_GROUP", 1024)
    folder = dataset(text)
    (folder / "expectations.json").write_text(json.dumps(suite(text)))
    ingestion.main(["data/rows"])
    found: list[dict[str, bytes]] = []
    for large in (10**9, 3):
        monkeypatch.setattr(stored_table, "LARGE", large)
        monkeypatch.setattr(stored_table, "BATCH_ROWS", 1000)
        stage.main(["raw", "data/rows"])
        if not found:
            preparation.main(["data/rows"])
        with pytest.raises(ValidationRefused):
            stage.main(["prepared", "data/rows"])
        files = [*folder.glob("validated/*"), *Path(".modelyard/reports/rows").iterdir()]
        found.append({str(path): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert b"without a value" in found[0][".modelyard/reports/rows/raw.json"] or text is TEXTS
    assert "in memory" not in capfd.readouterr().err


@pytest.mark.parametrize("good_from", [0, 2])
def test_duplicates_are_those_of_the_whole_table(
    good_from: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_table, "BATCH_ROWS", 20)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": [f"s{row}" for row in range(90)],
            "split": pd.Series(rng.choice(["train", "test", "none"], 90), dtype="str").replace("none", None),
            "label": rng.choice(["u", "v"], 90, p=[0.9, 0.1]),
            "digest": [f"{number:02}" for number in rng.integers(0, 60, 90)],
        }
    )
    true_hashes = repeated_values.hashes

    def poor_hashes(values: pd.Series, key: str) -> NDArray[np.uint64]:
        """Many values have one hash, by the first keys."""
        return true_hashes(values, key) % (7 if repeated_values.KEYS.index(key) < good_from else 2**64 - 1)

    monkeypatch.setattr(repeated_values, "hashes", poor_hashes)
    monkeypatch.setattr(stored_duplicates, "hashes", poor_hashes)
    one = stored(table, tmp_path)
    one.append(stored_duplicates.StoredDuplicates(one, "digest").columns(copies_in_split=True))
    found = one.frame(one.columns)
    expected = table.assign(**duplicates.columns(table))
    pd.testing.assert_frame_equal(found[list(expected)], expected)
    sizes = table.fillna("none").groupby(["split", "digest"])["id"].transform("size")
    assert found["copies_in_split"].tolist() == sizes.tolist()
    assert found["label_conflict"].any()
    assert not found["in_other_split"].all()


def test_samples_have_their_splits_in_any_order(tmp_path: Path) -> None:
    ids = [f"s{row}" for row in range(9)]
    samples = [Sample(identity, None, {"group": f"g{row}"}) for row, identity in enumerate(ids)]
    raw = tmp_path / "samples.parquet"
    sample_file.write(samples, raw, "writing", {"group": "text"})
    table = pd.DataFrame({"id": [*ids[:4], *ids[6:]], "split": [*["train"] * 4, "validation", "test", "test"]})
    for order in (list(range(7)), [1, 0, 2, 3, 4, 5, 6]):
        given = table.iloc[order].reset_index(drop=True)
        found = [list(raw_rows.with_splits(raw, "group", one)) for one in (given, stored(given, tmp_path))]
        assert (
            found[0] == found[1] == [(f"g{identity[1:]}", split) for identity, split in table.itertuples(index=False)]
        )
