"""The datasets of this repository, read from real packs where MODELYARD_MIRROR has them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.dataset import DatasetSpec, UrlSource
from components.core import located_yaml
from components.ingestion import mirror, sources
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(mirror.VARIABLE not in os.environ, reason="needs the packs of a mirror"),
]

COUNTS = {
    "bccd": {"train": 205, "validation": 87, "test": 72},
    "cifar10": {"train": 50_000, "test": 10_000},
    "etth1": {"None": 17_420},
    "etth1-trend": {"train": 4_265, "validation": 1_385, "test": 1_385},
    "flowers": {"train": 2_934, "test": 736},
    "fsdd": {"train": 2_700, "test": 300},
    "imdb": {"train": 25_000, "test": 25_000},
    "multi30k": {"train": 29_000, "validation": 1_014, "test": 1_000},
    "sms-spam": {"None": 5_574},
    "sst2": {"train": 6_920, "validation": 872, "test": 1_821},
    "wnut17": {"train": 3_394, "validation": 1_009, "test": 1_287},
}


def read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DatasetSpec, list[Sample]]:
    spec = located_yaml.read(ROOT / "data" / name / "dataset.yaml", DatasetSpec)
    assert isinstance(spec.source, UrlSource)
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / ".modelyard" / "cache" / "mirror.json"
    if any(mirror.find(file.sha256, file.name, cache) is None for file in spec.source.files):
        pytest.skip("not in this mirror")
    with sources.open_source(spec.source, tmp_path / name, Remarks()) as samples:
        return spec, list(samples)


@pytest.mark.parametrize("name", COUNTS)
def test_all_samples_arrive_with_all_fields(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, samples = read(name, tmp_path, monkeypatch)
    found: dict[str, int] = {}
    for sample in samples:
        found[str(sample.split)] = found.get(str(sample.split), 0) + 1
        assert sample.values.keys() == spec.source_fields().keys()
    assert found == COUNTS[name]
    assert len({sample.id for sample in samples}) == len(samples)


@pytest.mark.parametrize("name", COUNTS)
def test_the_dataset_expects_as_many_samples_as_arrive(name: str) -> None:
    suite = json.loads((ROOT / "data" / name / "expectations.json").read_text())["raw"]
    (expected,) = [each["kwargs"] for each in suite if each["type"] == "expect_table_row_count_to_equal"]
    assert expected == {"value": sum(COUNTS[name].values())}


def test_boxes_of_blood_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, samples = read("bccd", tmp_path, monkeypatch)
    boxes: list[dict[str, Any]] = [box for sample in samples for box in sample.values["boxes"]]
    counts = {label: sum(box["label"] == label for box in boxes) for label in ("RBC", "WBC", "Platelets")}
    assert counts == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    flat = [sample.id for sample in samples if any(box["xmax"] <= box["xmin"] for box in sample.values["boxes"])]
    assert sorted(flat) == ["BloodImage_00338", "BloodImage_00343"]  # kept for validation to catch


def test_spam_is_spam_and_hours_are_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, messages = read("sms-spam", tmp_path, monkeypatch)
    assert sum(sample.values["label"] == "spam" for sample in messages) == 747
    _, hours = read("etth1", tmp_path, monkeypatch)
    assert hours[0].values["time"] == "2016-07-01 00:00:00"
    assert hours[-1].values["values"][-1] == pytest.approx(9.567)
    assert np.stack([sample.values["values"] for sample in hours]).shape == (17_420, 7)
