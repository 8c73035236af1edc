"""Labelled answers become samples of the dataset, once, and ingestion adds them to the source's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.contracts.dataset import DatasetSpec
from components.contracts.labelled_request import LabelledRequest
from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, begin_of
from components.core import located_yaml
from components.core.errors import SourceError, UsageError
from components.identity import manifest as manifests
from components.ingestion import exclusion, sample_file
from components.ingestion.stage import ingest
from components.monitoring import held_samples, labelled_stage

HOUR = "2026-11-29T13"
START = begin_of(HOUR)
TEXTS = {
    "name": "notes", "task": "text-classification",
    "source": {"kind": "csv", "path": "notes.csv", "text": "text", "label": "label"},
    "input": {"tokenizer": {"kind": "words", "vocabulary": 50, "min_frequency": 1}, "max_length": 8},
}  # fmt: skip


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(json.dumps(TEXTS))
    (folder / "notes.csv").write_text("text,label\ngood,yes\nbad,no\n")
    return folder


def write(log: Path, inputs: list[Any], truths: dict[int, Any], role: str = "champion") -> None:
    ids = [f"{int(START):08x}-{number:016x}" for number in range(len(inputs))]
    block = {
        "format": BLOCK_FORMAT, "model": "m", "version": "1", "package": "p" * 64, "role": role, "id": ids,
        "index": [0] * len(ids), "time": [START] * len(ids), "latency_ms": [1.0] * len(ids),
        "output": [{"label": "yes"}] * len(ids), "inputs": inputs,
    }  # fmt: skip
    folder = log / OPEN / HOUR
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{role}.predictions.jsonl").write_text(json.dumps(block) + "\n")
    rows = [{"id": ids[at], "index": 0, "truth": truth, "at": None, "arrived": START} for at, truth in truths.items()]
    (folder / "a.feedback.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def request(dataset: Path, log: Path, least: int = 1) -> LabelledRequest:
    return LabelledRequest(log=str(log), dataset=str(dataset), min_labels=least, target=str(log / "added.json"))


def test_answers_with_a_truth_are_added_once(dataset: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    kept = [f"note {number}" for number in range(40)]
    kept[7] = "note 6"
    write(log, [*kept, "said [redacted]", {"a": 1}, "without"], {**dict.fromkeys(range(42), "no"), 3: True})
    found = labelled_stage.add(request(dataset, log))
    assert found.samples == 38
    assert sum(found.splits.values()) == 38
    assert set(found.splits) == {"train", "validation", "test"}
    assert found.splits["train"] > 20
    assert found.left_out == {
        "a part of their input was not kept": 1,
        "an equal input is among them, or among the dataset's samples": 1,
        "their input is of another kind than the samples": 1,
        "their truth is no label": 1,
    }
    again = labelled_stage.add(request(dataset, log))  # as after a kill before dataset.yaml named the file
    assert (again.path, again.sha256) == (found.path, found.sha256)
    _name(dataset, found.path, found.sha256)
    spec = located_yaml.read(dataset / "dataset.yaml", DatasetSpec)
    ingest(spec, dataset)
    samples = [one for group in sample_file.groups(dataset / "raw" / "samples.parquet") for one in group]
    assert len(samples) == 40
    assert manifests.load(dataset / "raw", "raw").facts["added"] == 38
    assert samples[2].values["label"] == "no"
    assert samples[2].values["text"].startswith("note ")
    nothing = labelled_stage.add(request(dataset, log))
    assert (nothing.path, nothing.samples) == (None, 0)
    assert [path.suffix for path in (dataset / "added").iterdir()] == [".parquet"]


def _name(dataset: Path, path: str | None, sha256: str | None) -> None:
    document = json.loads(json.dumps(TEXTS))
    document["source"]["added"] = [{"path": path, "sha256": sha256}]
    (dataset / "dataset.yaml").write_text(json.dumps(document))


def test_what_is_forgotten_leaves_the_added_file_too_again_after_a_kill(dataset: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, ["mine", "yours", "theirs"], {0: "no", 1: "yes", 2: "no"})
    found = labelled_stage.add(request(dataset, log))
    _name(dataset, found.path, found.sha256)
    old = dataset / str(found.path)
    content = old.read_bytes()
    digests = [exclusion.digest_of({"text": text, "label": "no"}) for text in ("mine", "bad")]
    assert held_samples.exclude(dataset, digests)
    assert not old.exists()
    old.write_bytes(content)  # as a kill leaves it before it is removed
    assert held_samples.exclude(dataset, digests)
    assert not held_samples.exclude(dataset, digests)
    (left,) = (dataset / "added").iterdir()
    assert [one.values["text"] for group in sample_file.groups(left) for one in group] == ["yours", "theirs"]
    spec = located_yaml.read(dataset / "dataset.yaml", DatasetSpec)
    raw = ingest(spec, dataset)
    texts = sample_file.texts(dataset / "raw" / "samples.parquet", "text")
    assert texts == ["good", "yours", "theirs"]
    assert raw.facts["added"] == 1  # two were added, one of the source is left out


def test_too_few_make_no_file(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "log", ["a", "b"], {0: "yes", 1: "no"})
    found = labelled_stage.add(request(dataset, tmp_path / "log", least=3))
    assert (found.path, found.samples) == (None, 2)


def test_a_truth_that_is_a_class_but_for_capitals_is_no_new_class(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "log", ["a", "b", "c"], {0: "Yes ", 1: "perhaps", 2: "yes"})
    found = labelled_stage.add(request(dataset, tmp_path / "log"))
    assert (found.samples, found.left_out) == (2, {"their truth is a class but for capitals or blanks": 1})


def test_a_shadow_adds_nothing(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "log", ["a"], {0: "yes"}, role="shadow")
    assert labelled_stage.add(request(dataset, tmp_path / "log")).samples == 0


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_an_added_file_that_is_gone_or_another_one_is_refused_and_raw_data_stays(
    dataset: Path, tmp_path: Path, damage: str
) -> None:
    write(tmp_path / "log", ["a", "b"], {0: "yes", 1: "no"})
    found = labelled_stage.add(request(dataset, tmp_path / "log"))
    _name(dataset, found.path, found.sha256)
    spec = located_yaml.read(dataset / "dataset.yaml", DatasetSpec)
    before = ingest(spec, dataset).digest
    file = dataset / str(found.path)
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(SourceError, match=damage):
        ingest(spec, dataset)
    assert (dataset / "raw" / "samples.parquet").is_file()
    assert before


def test_a_dataset_whose_samples_need_more_than_an_input_and_its_truth(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "log", ["a"], {0: "yes"})
    document = {**TEXTS, "split": {"group": "group"}}
    document["source"] = {**TEXTS["source"], "group": "who"}  # type: ignore[dict-item]
    (dataset / "dataset.yaml").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="cannot be made"):
        labelled_stage.add(request(dataset, tmp_path / "log"))


def test_a_sample_that_the_dataset_has_is_not_added(dataset: Path, tmp_path: Path) -> None:
    """Its split may be another one, and the same text in train and test would be a leak."""
    ingest(located_yaml.read(dataset / "dataset.yaml", DatasetSpec), dataset)
    log = tmp_path / "log"
    write(log, ["good", "  good ", "new"], dict.fromkeys(range(3), "yes"))
    found = labelled_stage.add(request(dataset, log))
    assert found.samples + sum(found.left_out.values()) == 3
    assert found.samples <= 2
    assert found.left_out["an equal input is among them, or among the dataset's samples"] >= 1
