"""Spaces for pipelines as they are, spaces that do not fit, and what a study takes over from earlier ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.tune_spec import TuneSpec
from components.core import located_yaml
from components.core.errors import SpecError, StackError, UsageError
from components.core.project import Project
from components.tasks.task import ValidationMetric
from components.tuning import space
from components.tuning.record import StudyRecord, Told
from flows.comparisons.tuning import default_space, study, variants
from flows.pipelines.fingerprints import Fingerprint

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = ValidationMetric("accuracy", higher_is_better=True)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "pipelines").glob("*.yaml")))
def test_every_pipeline_here_has_a_space_without_a_section(name: str) -> None:
    project = Project(ROOT)
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
    lines: list[str] = []
    found = default_space.of(project, spec, lines.append)
    assert {"train.learning_rate", "train.batch_size"} <= found.space.keys()
    assert all(any(key in line for line in lines) for key in found.space)
    recipe = variants.values_of(project, spec, found)
    held = [key for key, value in recipe.items() if found.space[key].holds(value)]
    assert len(held) >= len(found.space) - 1  # a weight decay of 0 is on no logarithmic scale


def _project(folder: Path, tune: str) -> tuple[Project, PipelineSpec, TuneSpec]:
    for name in ("pipelines", "data/sst2"):
        (folder / name).mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    shutil.copy(ROOT / "data/sst2/dataset.yaml", folder / "data/sst2")
    file = folder / "pipelines" / "sst2.yaml"
    file.write_text((ROOT / "pipelines/sst2.yaml").read_text() + tune)
    spec = located_yaml.read(file, PipelineSpec)
    assert spec.tune is not None
    return Project(folder), spec, spec.tune


def test_what_does_not_fit_the_pipeline_is_named_by_line_and_what_may_fit_is_not(tmp_path: Path) -> None:
    project, spec, tune = _project(
        tmp_path,
        "tune:\n  space:\n"
        "    model.filters: {int: [0, 8]}\n"
        "    model.no_such: {choice: [1, 2]}\n"
        "    input.max_length: {choice: [16, many]}\n"
        "    train.schedule: {choice: [onecycle, cosine]}\n"
        "    train.early_stopping: {choice: [null, {patience_epochs: 2}]}\n",  # goes with cosine, not with onecycle
    )
    with pytest.raises(SpecError) as caught:
        variants.check_space(project, spec, tune)
    found = {(problem.path, problem.line) for problem in caught.value.problems}
    first = located_yaml.lines(project.pipeline_file("sst2"))["tune", "space", "model.filters"]
    keys = ("model.filters", "model.no_such", "input.max_length")
    assert found == {(f"tune.space.{key}", first + offset) for offset, key in enumerate(keys)}


@pytest.mark.slow
def test_a_key_that_no_trial_can_have_is_refused_before_the_first(tmp_path: Path) -> None:
    """sst2's optimizer is adamw, which has no momentum."""
    momentum = "tune:\n  space:\n    train.momentum: {float: [0.5, 0.95]}\n"
    project, spec, tune = _project(tmp_path / "one", momentum)
    with pytest.raises(SpecError, match="no trial can have it") as caught:
        variants.check_space(project, spec, tune)
    (problem,) = caught.value.problems
    assert problem.path == "tune.space.train.momentum"
    assert problem.line == located_yaml.lines(project.pipeline_file("sst2"))["tune", "space", "train.momentum"]
    assert "momentum has no effect with optimizer: adamw" in problem.message

    beside = momentum + "    train.optimizer: {choice: [adamw, sgd]}\n"  # with sgd it has
    project, spec, tune = _project(tmp_path / "two", beside)
    variants.check_space(project, spec, tune)
    conditional = (
        momentum.replace("]}", "], when: {train.optimizer: sgd}}") + "    train.optimizer: {choice: [adamw, sgd]}\n"
    )
    project, spec, tune = _project(tmp_path / "three", conditional)
    variants.check_space(project, spec, tune)


def test_a_choice_that_no_trial_can_take_is_refused(tmp_path: Path) -> None:
    space_of = (
        "tune:\n  space:\n    train.sampling: {choice: [shuffled, balanced]}\n    train.batch_size: {choice: [8, 16]}\n"
    )
    project, spec, tune = _project(tmp_path, space_of)
    file = project.pipeline_file("sst2")
    file.write_text(file.read_text().replace("train: {", "train: {class_weights: balanced, "))
    spec = located_yaml.read(file, PipelineSpec)
    with pytest.raises(SpecError, match="both make up for rare classes"):
        variants.check_space(project, spec, tune)


def test_settings_are_split_between_the_pipeline_file_and_the_dataset(tmp_path: Path) -> None:
    project, spec, tune = _project(
        tmp_path,
        "tune:\n  space:\n    input.max_length: {choice: [32, 64]}\n"
        "    model: {choice: [{family: cnn}, {family: rnn}]}\n",
    )
    assert variants.values_of(project, spec, tune)["input.max_length"] == 64
    pipeline, inputs = variants.split({"model.width": 3, "input.max_length": 32, "model": {"family": "rnn"}})
    assert list(pipeline) == ["model", "model.width"]
    assert inputs == {"input.max_length": 32}


def test_an_edited_file_does_not_mix_with_a_search_that_runs(tmp_path: Path) -> None:
    project, spec, _ = _project(tmp_path, "tune:\n  space:\n    model.filters: {int: [8, 16]}\n")
    recipe = variants.Recipe.read(project, spec)
    file = project.pipeline_file("sst2")
    file.write_text(file.read_text().replace("epochs: 6", "epochs: 60"))
    frozen = located_yaml.read(file, PipelineSpec, {"model.filters": 8}, content=recipe.pipeline)
    assert (frozen.train.epochs, frozen.model.model_dump()["filters"]) == (6, 8)
    assert located_yaml.read(file, PipelineSpec).train.epochs == 60


@pytest.mark.slow
def test_a_study_knows_the_trials_of_an_earlier_one_where_they_fit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    wide: dict[str, Any] = {"space": {"train.learning_rate": {"float": [1e-4, 1.0], "log": True}}}
    narrow: dict[str, Any] = {"space": {"train.learning_rate": {"float": [1e-4, 1e-2], "log": True}}}
    earlier = StudyRecord(url, "p-1", ["maximize"])
    earlier.note("metric", "accuracy")
    for number, rate in enumerate((1e-3, 0.5, 2e-3)):
        parameters, distributions = space.fixed(TuneSpec.model_validate(wide), {"train.learning_rate": rate})
        earlier.begin(number, {"train.learning_rate": rate}, parameters, distributions, {})
        earlier.report(number, 1, 0.4)
        if number != 2:
            earlier.tell(number, Told("complete", (0.5,)))
    earlier.close()
    known = study._finished(url, "p-1", TuneSpec.model_validate(narrow), ACCURACY)
    assert [trial.params for trial in known] == [{"train.learning_rate": 1e-3}]
    assert [trial.intermediate_values for trial in known] == [{}]  # another recipe's epochs are no measure
    assert study.earlier_studies(url, "p", "p-2") == ["p-1"]
    with pytest.raises(UsageError, match="no such study"):
        study._finished(url, "p-9", TuneSpec.model_validate(narrow), ACCURACY)
    with pytest.raises(UsageError, match="another objective"):
        study._finished(url, "p-1", TuneSpec.model_validate(narrow), ValidationMetric("loss", higher_is_better=False))


def test_edited_code_and_new_data_stop_a_search() -> None:
    """Another function or library of another network is no edit."""
    spec = located_yaml.read(ROOT / "pipelines/sst2.yaml", PipelineSpec)
    code = {"function components.training.loop:fit": "a" * 64, "train.epochs": 3}

    def variant(data: str, **inputs: Any) -> variants.Variant:
        settings = {"train.epochs": 4}
        return variants.Variant(settings, spec, ROOT, data, Fingerprint(code | inputs))

    recipe = variant("d" * 64)
    variants.check_unchanged(
        recipe, variant("d" * 64, **{"train.epochs": 4, "function components.models.vit:forward": "b"})
    )
    with pytest.raises(UsageError, match="edited") as caught:
        variants.check_unchanged(recipe, variant("d" * 64, **{"function components.training.loop:fit": "c" * 64}))
    assert caught.value.got == "components.training.loop:fit"
    with pytest.raises(UsageError, match="prepared anew"):
        variants.check_unchanged(recipe, variant("e" * 64))


def test_the_database_of_the_studies_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    assert study.storage_url(project, None) == f"sqlite:///{project.state}/tune/studies.db"
    settings = "[connections]\nstudies = 'postgresql://db:5432/studies'\nstudies_credentials = {env = 'LOGIN'}\n"
    (tmp_path / "modelyard.toml").write_text(settings)
    with pytest.raises(StackError, match="credentials of studies is not set"):
        study.storage_url(project, None)
    for name in ("PGUSER", "PGPASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LOGIN", "ann:secret")
    assert study.storage_url(project, None) == "postgresql+psycopg://db:5432/studies"
    assert (os.environ["PGUSER"], os.environ["PGPASSWORD"]) == ("ann", "secret")
    monkeypatch.setenv(study.STORAGE, "sqlite:///other.db")
    assert study.storage_url(project, None) == "sqlite:///other.db"
    assert study.storage_url(project, "sqlite:///given.db") == "sqlite:///given.db"
