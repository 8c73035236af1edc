"""The report on prepared data: leakage between the splits, and whether train and test differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.preparation import stage as preparation
from components.validation import sample_features, split_probe
from tests.preparation.test_near_duplicates import dataset, jpeg
from tests.preparation.test_prepare import declare_valid

pytestmark = pytest.mark.filterwarnings(
    # of Great Expectations and what it imports, with pandas 3; nothing that we could do
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

SUITE = {"raw": [], "prepared": [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}]}


def validate(folder: Path) -> None:
    from components.validation import stage  # imports Great Expectations

    stage.main(["prepared", str(folder)])


@pytest.mark.slow
def test_leakage_of_given_splits_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    contents: list[tuple[str, bytes, str | None]] = [
        ("ab"[row % 2], jpeg(row), "train" if row < 70 else "validation" if row < 90 else "test") for row in range(150)
    ]
    contents += [
        ("a", jpeg(91, 75), "train"),
        ("b", jpeg(3), "train"),
    ]  # nearly a test sample's; a copy of 3, another label
    folder = dataset(Path("data/photos"), "{}", contents)
    (folder / "expectations.json").write_text(json.dumps(SUITE))
    preparation.main([str(folder)])
    validate(folder)
    reports = Path(".modelyard/reports/photos")
    found = json.loads((reports / "splits.json").read_text())
    texts = {finding["text"]: finding["doubtful"] for finding in found["leakage"]["findings"]}
    assert texts["no sample equals one of another split"] is False
    assert texts["1 samples of train are near-duplicates of one of validation or test"] is True
    (pair,) = found["leakage"]["across"]
    assert {pair["first"], pair["second"]} == {"91.x", "150.x"}
    assert {pair["first_split"], pair["second_split"]} == {"train", "test"}
    conflicts = [{one["first_label"], one["second_label"]} for one in found["leakage"]["conflicts"]]
    assert conflicts == [{"a", "b"}] * 1 or conflicts == [{"a", "b"}] * 2
    assert found["shift"]["warns"] is False
    assert 0.3 < found["shift"]["auc"] < 0.7
    page = (reports / "prepared.html").read_text()
    assert "Leakage between the splits, and shift" in page
    assert page.count("data:image/png;base64,") >= 4
    assert "<script" not in page
    capfd.readouterr()


def test_groups_and_times_across_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/notes")
    (folder / "raw").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        "name: notes\ntask: text-classification\n"
        "source: {kind: csv, path: x.csv, text: t, label: l, time: when, group: writer}\n"
        "split: {test: 0.3, validation: 0.3}\ninput: {}\n"
    )
    (folder / "expectations.json").write_text(json.dumps(SUITE))
    rng = np.random.default_rng(0)
    samples = []
    for row in range(400):
        split = "test" if row % 4 == 0 else "validation" if row % 4 == 1 else "train"
        words = " ".join(f"word{number}" for number in rng.integers(0, 60, 8))
        text = f"{words} {'sequel' if split == 'test' else 'first'} {row}"
        values = {"time": f"2024-{1 + row // 28 % 12:02}-{1 + row % 28:02}", "text": text, "label": "ab"[row // 2 % 2]}
        samples.append(Sample(f"t/{row}", split, {**values, "group": f"writer {row % 10}"}))
    fields = {"time": "text", "text": "text", "label": "text", "group": "text"}
    sample_file.write(samples, folder / "raw/samples.parquet", "writing", fields)  # type: ignore[arg-type]
    manifest.seal(folder / "raw", "raw", {"samples": 400})
    declare_valid(folder)
    preparation.main([str(folder)])
    validate(folder)
    found = json.loads(Path(".modelyard/reports/notes/splits.json").read_text())
    texts = [finding["text"] for finding in found["leakage"]["findings"] if finding["doubtful"]]
    assert any(text.startswith("10 of 10 values of group are in several splits: writer 0, ") for text in texts)
    assert any("samples of train are not older than the first of test" in text for text in texts)
    assert found["shift"]["warns"] is True
    assert found["shift"]["lower"] > 0.9
    assert any("'sequel'" in words for words in found["shift"]["telling"])
    assert not (Path(".modelyard/staging/notes/prepared") / "clusters.npy").exists()


def test_a_brighter_test_split_is_found_and_named() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"mean": np.r_[rng.normal(100, 9, 300), rng.normal(120, 9, 200)], "width": 28, "error": None})
    noise = sample_features.Features(rng.normal(size=(500, 20)), [f"x{number}" for number in range(20)])
    features = sample_features.beside([sample_features.of_columns(frame, ["mean", "width", "error"]), noise])
    shift = split_probe.probe(features, (300, 200))
    assert shift.warns
    assert shift.auc is not None
    assert shift.lower is not None
    assert 0.85 < shift.lower < shift.auc < 0.97
    assert shift.telling[0].startswith("mean (higher in test, alone AUC 0.9")
    same = split_probe.probe(noise, (300, 200))
    assert not same.warns
    assert "does not tell train from test" in same.sentence
    assert "fewer than 50" in split_probe.probe(noise, (480, 20)).sentence
