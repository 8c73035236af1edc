"""Settings that were renamed: a dataset with an old name is refused with the new one; an old package is still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.contracts.training_request import TrainRequest
from components.core.errors import SpecError
from components.identity.package import PackageFacts
from components.tasks import find
from components.tasks.dataset_file import open_dataset
from tests.tasks import whole_path

DATASET = """\
name: notes
task: text-classification
source: {kind: csv, path: notes.csv, text: text}
input: {tokenizer: {kind: words, least: 1}, longest: 32}
"""
SAMPLES = [{"text": "a good film", "label": "good"}, {"text": "a bad film", "label": "bad"}]


def test_a_dataset_with_an_old_name_is_refused_with_the_new_name(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(DATASET)
    with pytest.raises(SpecError) as caught:
        open_dataset(tmp_path)
    messages = sorted((problem.line, problem.message) for problem in caught.value.problems)
    assert messages == [
        (4, "unknown key; its name is max_length now"),
        (4, "unknown key; its name is min_frequency now"),
    ]


def test_a_processor_with_an_old_name_is_read(tmp_path: Path) -> None:
    task = find("text-classification")
    processor = whole_path.fitted(task, SAMPLES, tmp_path, max_length=5)
    path = tmp_path / "processor.json"
    state = json.loads(path.read_text())
    state["longest"] = state.pop("max_length")
    path.write_text(json.dumps(state))
    assert task.load(tmp_path).model_dump() == processor.model_dump()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["train_fingerprint", "train_key"])
def test_a_package_and_a_request_with_either_name_of_the_fingerprint_are_read(name: str) -> None:
    facts = PackageFacts.model_validate(
        {"pipeline": "a", "task": "t", name: "f" * 64, "data_digest": "d" * 64, "lineage": {}}
    )
    assert facts.model_dump()["train_fingerprint"] == "f" * 64
    request = TrainRequest.model_validate(
        {
            "pipeline": "a", name: "f" * 64, "data_digest": "d" * 64, "prepared": "p", "run_folder": "r",
            "package": "k", "lineage": {}, "model": {"family": "cnn", "name": "kim"}, "train": {},
        }
    )  # fmt: skip
    assert request.train_fingerprint == "f" * 64
