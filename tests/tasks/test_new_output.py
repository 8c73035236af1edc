"""A task from outside with kinds of input and output of its own, from a CSV file of real measurements to answers.

The diabetes table of scikit-learn (Efron et al. 2004, 442 patients): ten measurements, and how far the disease went
within a year. Nothing in components/ knows the kinds `row` and `number`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes

from components.contracts.pipeline import PipelineSpec
from components.contracts.training_request import TrainRequest
from components.core import located_yaml
from components.core.errors import SampleError, UsageError
from components.core.project import Project
from components.drafting import draft
from components.evaluation import stage as evaluation
from components.identity import manifest
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.tasks import compatibility
from components.training import stage as training
from components.training.sinks import EventStream
from flows.comparisons import families
from tests import echo_task
from tests.regression_task.task import NAME, TASK


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a drafted dataset and pipeline."""
    data = load_diabetes(scaled=False)
    rows = np.column_stack([data.data, data.target])
    header = ",".join([*(name for name in data.feature_names), "target"])
    (tmp_path / "diabetes.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows.tolist())]))
    (tmp_path / "pipelines").mkdir()
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    drafted = draft.write(project, "diabetes", tmp_path / "diabetes.csv", NAME)
    assert (drafted.task, drafted.samples, drafted.labels) == (NAME, 442, 0)
    return project


def test_it_is_drafted_with_its_own_defaults(project: Project) -> None:
    spec = located_yaml.read(project.pipeline_file("diabetes"), PipelineSpec)
    assert compatibility.check(spec, project.pipeline_file("diabetes"), project.dataset("diabetes")) is TASK
    assert spec.train.batch_size == TASK.max_batch_size
    assert "input: {columns: 10}" in (project.dataset("diabetes") / "dataset.yaml").read_text()
    suite = json.loads((project.dataset("diabetes") / "expectations.json").read_text())
    assert not [one for part in suite.values() for one in part if one["kwargs"].get("column") == "label"]


def test_an_architecture_for_other_outputs_is_refused(project: Project) -> None:
    spec = located_yaml.read(
        project.pipeline_file("diabetes"), PipelineSpec, {"model": {"family": "linear", "name": "dlinear"}}
    )
    messages = [problem.message for problem in compatibility.problems(spec, TASK)]
    assert messages == [
        f"linear dlinear takes series; {NAME} gives row",
        f"linear dlinear gives forecast; {NAME} needs number",
    ]
    with pytest.raises(UsageError, match="no cnn for"):
        families.pipelines(project, "diabetes", ["cnn"])


def test_a_task_without_defaults_is_not_drafted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "a text of words\n" * 9)
    with pytest.raises(UsageError, match="no defaults"):
        draft.write(Project(tmp_path), "echoes", tmp_path / "a.csv", echo_task.NAME)


@pytest.mark.slow
def test_it_runs_from_a_file_to_a_sealed_package_that_answers(project: Project) -> None:
    folder = Path("data/diabetes")
    ingestion.main([str(folder)])
    raw = manifest.load(folder / "raw", "raw")
    (folder / "validated").mkdir()
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    preparation.main([str(folder)])
    prepared = Path(".modelyard/staging/diabetes/prepared")
    sealed = manifest.verify(prepared, "prepared")
    assert (sealed.facts["classes"], [one["name"] for one in sealed.facts["arrays"]]) == ([], ["rows", "target"])

    threads = torch.get_num_threads()
    document = {
        "pipeline": "diabetes", "train_fingerprint": "ab" * 32, "data_digest": sealed.digest,
        "prepared": str(prepared), "run_folder": "run", "package": "package", "lineage": {},
        "model": TASK.starting_model, "train": {"epochs": 30, "batch_size": 16, "learning_rate": 0.01, "threads": 1},
    }  # fmt: skip
    training.train(TrainRequest.model_validate(document), EventStream(io.StringIO()))
    torch.set_num_threads(threads)
    Path("request.json").write_text(json.dumps(document))
    evaluation.main(["request.json"])

    package = Package.open(Path("package"))
    truth = np.load(prepared / "test" / "target.npy")
    mse = package.metrics()["overall"]["mse"]
    assert 1000 < mse < 0.8 * truth.var()  # better than the mean of the targets

    predictor = Predictor(package)
    assert [spec.name for spec in package.signature().graphs["model"].outputs] == ["value"]
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        read = body.read(predictor.processor, predictor.endpoint, content, example.media)
        assert difference(example.answer, predictor.predict(read.items, read.parameters)[0]) < 1e-4
    rows = np.load(prepared / "test" / "rows.npy")
    answers = [answer["value"] for answer in predictor.predict(rows.tolist())]
    assert np.square(answers - truth).mean() == pytest.approx(mse, rel=1e-4)
    with pytest.raises(SampleError, match="another length"):
        predictor.predict([[1.0, 2.0]])
