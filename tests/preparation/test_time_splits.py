"""Splits by time: the newest samples are test, equal times stay together, and purged samples are in no split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec, SplitSpec
from components.contracts.dataset_layout import SplitRows
from components.core.errors import SampleError
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.preparation import decoding, splits, stage
from components.preparation.splits import TEST, TRAIN, UNUSED, VALIDATION
from components.preprocessing.stored import StoredSplit
from tests.preparation.test_arrays import table
from tests.preparation.test_prepare import declare_valid, staged


def test_the_newest_samples_are_test() -> None:
    moments = np.random.default_rng(0).permutation(100).astype(float)
    spec = SplitSpec(by="time", test=0.2, validation=0.25)
    assigned = splits.newest_last(moments, spec)
    by_time = assigned[np.argsort(moments)].tolist()
    assert by_time == [TRAIN] * 60 + [VALIDATION] * 20 + [TEST] * 20
    purged = splits.newest_last(moments, SplitSpec(by="time", test=0.2, validation=0.25, purge=3))
    assert purged[np.argsort(moments)].tolist() == (
        [TRAIN] * 57 + [UNUSED] * 3 + [VALIDATION] * 17 + [UNUSED] * 3 + [TEST] * 20
    )


def test_equal_times_are_in_one_split() -> None:
    moments = np.repeat(np.arange(20.0), 7)
    assigned = splits.newest_last(moments, SplitSpec(by="time", test=0.33, validation=0.2))
    assert all(len(set(assigned[moments == moment])) == 1 for moment in range(20))
    assert set(assigned) == {TRAIN, VALIDATION, TEST}


def test_purged_rows_are_in_no_split_but_are_looked_back_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SplitRows(train=4, validation=3, test=2)
    assert splits.by_time(9, rows, 1).tolist() == [0, 0, 0, UNUSED, 1, 1, UNUSED, 2, 2]
    monkeypatch.chdir(tmp_path)
    folder = table(Path("data/hours"), "{by: time, purge: 2, rows: {train: 10, validation: 6, test: 4}}")
    stage.main([str(folder)])
    prepared = Path(".modelyard/staging/hours/prepared")
    facts = manifest.verify(prepared, "prepared").facts
    specs = [ArraySpec.model_validate_json(json.dumps(spec)) for spec in facts["arrays"]]
    for name, ahead in {"train": range(2, 8), "validation": range(10, 14), "test": range(16, 20)}.items():
        batch = StoredSplit(prepared / name, specs).batch(np.arange(facts["counts"][name]))
        assert batch["ahead"][:, 0, 0].tolist() == list(ahead)
        assert batch["seen"][:, :, 0].tolist() == [[row - 2, row - 1] for row in ahead]
    listed = pq.read_table(prepared / "samples.parquet").to_pylist()
    assert [row["id"] for row in listed] == [f"t/{row}" for row in (*range(2, 8), *range(10, 14), *range(16, 20))]


SOURCE = {"kind": "csv", "path": "x.csv", "text": "t", "label": "l", "time": "when"}
FEATURES = {"kind": "csv", "path": "x.csv", "numbers": ["year"], "categories": ["town"], "label": "l"}


@pytest.mark.parametrize(
    ("source", "split", "what"),
    [
        ({**SOURCE, "time": None}, {"by": "time"}, "samples with a time"),
        (SOURCE, {"rows": {"train": 1, "validation": 1, "test": 1}}, "rows: needs by: time"),
        (SOURCE, {"purge": 3}, "purge: needs by: time"),
        (SOURCE, {"by": "time", "near_duplicates": "together"}, "are for splits by sample"),
        (SOURCE, {"by": "time", "purge": 2, "rows": {"train": 2, "validation": 9, "test": 9}}, "leaves nothing"),
        (SOURCE, {"time_column": "when"}, "time_column: needs by: time"),
        (SOURCE, {"by": "time", "time_column": "day"}, "no column day is read; there are: when;"),
        (FEATURES, {"by": "time", "time_column": "day"}, "no column day is read; there are: year, town;"),
    ],
)
def test_what_does_not_fit_is_refused(source: dict[str, object], split: dict[str, object], what: str) -> None:
    document = {"name": "x", "task": "text-classification", "source": source, "split": split}
    with pytest.raises(ValidationError, match=what):
        DatasetSpec.model_validate(document)


def test_texts_by_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/notes")
    (folder / "raw").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        "name: notes\ntask: text-classification\nsource: {kind: csv, path: x.csv, text: t, label: l, time: when}\n"
        "split: {by: time, test: 0.25, validation: 0.2, purge: 1}\ninput: {}\n"
    )
    days = np.random.default_rng(0).permutation(20)
    samples = [
        Sample(
            f"t/{row}", None, {"time": f"2024-01-{day + 1:02}", "text": f"note {day} of many", "label": "ab"[day % 2]}
        )
        for row, day in enumerate(days.tolist())
    ]
    fields = {"time": "text", "text": "text", "label": "text"}
    sample_file.write(samples, folder / "raw/samples.parquet", "writing", fields)  # type: ignore[arg-type]
    manifest.seal(folder / "raw", "raw", {"samples": 20})
    declare_valid(folder)
    stage.main([str(folder)])
    found = {row["id"]: row["split"] for row in pq.read_table(staged(folder) / "samples.parquet").to_pylist()}
    by_day = [found.get(f"t/{row}") for row in np.argsort(days)]
    assert by_day == ["train"] * 11 + [None] + ["validation"] * 2 + [None] + ["test"] * 5
    assert "splits by time: train 11, validation 2, test 5; 2 samples before the borders are in no split" in (
        capfd.readouterr().err
    )
    samples[3].values["time"] = "soon"
    sample_file.write(samples, folder / "raw/samples.parquet", "writing", fields)  # type: ignore[arg-type]
    manifest.seal(folder / "raw", "raw", {"samples": 20})
    declare_valid(folder)
    with pytest.raises(SampleError, match="no time") as caught:
        stage.main([str(folder)])
    assert (caught.value.where, caught.value.got) == ("t/3", "soon")


def test_the_column_of_the_time_is_named() -> None:
    named = DatasetSpec.model_validate(
        {"name": "x", "task": "text-classification", "source": SOURCE, "split": {"by": "time", "time_column": "when"}}
    )
    assert named.time_field() == "time"
    assert "time_column" not in SplitSpec().model_dump()
    spec = DatasetSpec.model_validate(
        {
            "name": "x",
            "task": "tabular-classification",
            "source": FEATURES,
            "split": {"by": "time", "time_column": "year"},
        }
    )

    def moment(value: object) -> float:
        return decoding._moment(Sample("a", None, {"row": {"year": value, "town": "Rome"}}), spec)

    assert moment(1999) < moment(2001)
    assert moment("1999") < moment("2001-05-01") < moment("2001-06")
    with pytest.raises(SampleError, match="no time, by which the splits are made"):
        moment(None)
