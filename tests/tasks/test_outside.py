"""A task from outside the package: the code on docs/tasks.md, from a CSV file to answers of its own ONNX graph."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from components import tasks
from components.contracts.training_request import TrainRequest
from components.core.errors import NotFoundError, SampleError
from components.identity import manifest
from components.identity.package import Signature
from components.inference import body
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.tasks.dataset_file import open_dataset
from components.training import stage as training
from components.training.sinks import EventStream
from tests.tasks import whole_path

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
NAME = "my_tasks.parity:TASK"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's module, dataset and pipeline, and with samples."""
    page = PAGE.read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    dataset, _ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_tasks").mkdir()
    (tmp_path / "my_tasks" / "__init__.py").write_text("")
    (tmp_path / "my_tasks" / "parity.py").write_text(code)
    folder = tmp_path / "data" / "bits"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(dataset)
    rng = np.random.default_rng(0)
    texts = sorted({"".join(rng.choice(["0", "1"], rng.integers(1, 12))) for _ in range(300)})
    rows = [f"{text},{'odd' if text.count('1') % 2 else 'even'}" for text in texts]
    (folder / "bits.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in ("my_tasks.parity", "my_tasks"):
        sys.modules.pop(name, None)


def test_it_is_found_by_its_name_and_nothing_else_is(project: Path) -> None:
    spec, task, settings = open_dataset(Path("data/bits"))
    assert (spec.task, task.name, settings.max_length) == (NAME, "parity", 32)
    assert tasks.module(NAME) == "my_tasks.parity"
    for wrong in ("parity", "my_tasks.parity:NOTHING", "my_tasks.other:TASK"):
        with pytest.raises(NotFoundError):
            tasks.find(wrong)


def test_it_runs_from_a_file_to_answers_of_its_graph(project: Path) -> None:
    folder = Path("data/bits")
    ingestion.main([str(folder)])
    raw = manifest.load(folder / "raw", "raw")
    (folder / "validated").mkdir()
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    preparation.main([str(folder)])
    prepared = project / ".modelyard" / "staging" / "bits" / "prepared"
    facts = manifest.verify(prepared, "prepared")
    assert facts.facts["classes"] == ["even", "odd"]
    assert facts.facts["task"] == NAME

    threads = torch.get_num_threads()
    request = {
        "pipeline": "bits", "train_fingerprint": "ab" * 32, "data_digest": facts.digest, "prepared": str(prepared),
        "run_folder": str(project / "run"), "package": str(project / "run" / "package"), "lineage": {},
        "model": {"family": "rnn", "name": "gru", "width": 8, "embedding": 8},
        "train": {"epochs": 1, "batch_size": 32, "threads": 1},
    }  # fmt: skip
    training.train(TrainRequest.model_validate(request), EventStream(io.StringIO()))
    torch.set_num_threads(threads)

    parts = project / "run" / "trained"
    session = onnxruntime.InferenceSession(parts / "model.onnx")
    processor = tasks.find(NAME).load(parts)
    classes = Signature.model_validate_json((parts / "signature.json").read_bytes()).classes

    def run(graph: str, feed: dict[str, Any]) -> dict[str, Any]:
        assert graph == "model"
        return {"probabilities": session.run(["probabilities"], feed)[0]}

    wire = processor.endpoint(classes)
    golden = json.loads((parts / "golden" / "outputs.json").read_bytes())["examples"]
    assert len(golden) == 16
    for example in golden:
        content = (parts / "golden" / example["file"]).read_bytes()
        [item] = body.read(processor, wire, content, example["media"]).items
        [answer] = processor.answer(run, [processor.read(item, max_pixels=0)], classes, None)
        assert answer["probabilities"] == pytest.approx(example["answer"]["probabilities"], abs=1e-5)
    asked = body.of_json(processor, wire, b'{"strings": ["0110", "1"]}').items
    answers = processor.answer(run, [processor.read(item, max_pixels=0) for item in asked], classes, None)
    assert [set(answer["probabilities"]) for answer in answers] == [{"even", "odd"}] * 2


def test_its_samples_are_refused_and_answered_like_any_other(project: Path, tmp_path: Path) -> None:
    samples = [{"text": "0110", "label": "even"}, {"text": "1", "label": "odd"}]
    processor = whole_path.fitted(tasks.find(NAME), samples, tmp_path, max_length=8)

    def run(graph: str, feed: dict[str, Any]) -> dict[str, Any]:
        odd = ((feed["tokens"] == 2).sum(axis=1) % 2).astype(np.float32)
        return {"probabilities": np.stack([1 - odd, odd], axis=1)}

    read = [processor.read(text, max_pixels=0) for text in ("0110", b"1\n", "10101")]
    answers = whole_path.alone_and_batched(processor, run, read, ["even", "odd"])
    assert [answer["label"] for answer in answers] == ["even", "odd", "odd"]
    for wrong in ("", "012", "0" * 9, b"\xff", 3):
        with pytest.raises(SampleError, match="bits"):
            processor.read(wrong, max_pixels=0)
