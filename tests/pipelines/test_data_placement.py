"""`run: {prepare: {runner: dask}}`: what can be prepared there, and what is refused before any work."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, SpecError, UsageError
from components.core.project import Project
from flows.pipelines import data_placement

ROOT = Path(__file__).resolve().parents[2]


def spec(name: str, **run: Any) -> PipelineSpec:
    overrides = {f"run.{key}": value for key, value in run.items()}
    return located_yaml.read(ROOT / "pipelines" / f"{name}.yaml", PipelineSpec, overrides)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("adult", "digits", "etth1", "fsdd"):
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(ROOT / "data" / name / "dataset.yaml", tmp_path / "data" / name)
    return Project(tmp_path)


def test_a_table_is_prepared_where_the_pipeline_or_the_settings_say(project: Project) -> None:
    assert data_placement.environment(project, spec("adult"), "prepare") == {}
    (project.root / "modelyard.toml").write_text("[run.prepare]\nrunner = 'dask'\nworkers = 3\n")
    data_placement.check(project, spec("adult"))
    (document,) = data_placement.environment(project, spec("adult"), "prepare").values()
    assert json.loads(document)["cluster"]["workers"] == 3
    assert data_placement.environment(project, spec("adult"), "ingest") == {}
    assert data_placement.environment(project, spec("adult", **{"prepare.runner": "local"}), "prepare") == {}


@pytest.mark.parametrize(
    ("name", "reason"), [("digits", "one by one"), ("fsdd", "one by one"), ("etth1", "one by one")]
)
def test_other_data_is_refused(name: str, reason: str, project: Project) -> None:
    with pytest.raises(UsageError, match="cannot prepare this dataset") as caught:
        data_placement.check(project, spec(name, prepare={"runner": "dask"}))
    assert "prepared one by one" in str(caught.value.got)


def test_a_time_that_no_split_needs_can_be_taken_out(project: Project) -> None:
    path = project.dataset("adult") / "dataset.yaml"
    text = path.read_text()
    changed = re.sub(r"( +)label: income", r"\1time: age\n\1label: income", text, count=1)
    assert changed != text
    path.write_text(changed)
    with pytest.raises(UsageError) as caught:
        data_placement.check(project, spec("adult", prepare={"runner": "dask"}))
    assert f"or take `time:` out of the source in {path}" in str(caught.value.next_step)


def test_splits_by_time_are_refused(project: Project) -> None:
    path = project.dataset("adult") / "dataset.yaml"
    path.write_text(re.sub(r"split: \{", "split: {by: time, time_column: age, ", path.read_text()))
    with pytest.raises(UsageError) as caught:
        data_placement.check(project, spec("adult", prepare={"runner": "dask"}))
    assert "split.by: time" in str(caught.value.got)


def test_missing_key_files_are_named(project: Project) -> None:
    tls = {"ca": "ca.pem", "cert": "me.pem", "key": "me.key"}
    placed = spec("adult", prepare={"runner": "dask", "scheduler": "tls://cluster:8786", "tls": tls})
    with pytest.raises(NotFoundError, match=r"ca\.pem"):
        data_placement.environment(project, placed, "prepare")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"train": {"runner": "dask"}}, "runner: dask cannot run train; allowed: local, slurm, pool"),
        ({"prepare": {"runner": "slurm"}}, "runner: slurm cannot run prepare; allowed: local, dask"),
        ({"ingest": {"runner": "dask"}}, "run.ingest: unknown key"),
        ({"prepare": {"runner": "dask", "workers": 2, "scheduler": "tcp://a:1"}}, "name one of them"),
        ({"prepare": {"runner": "dask", "scheduler": "tcp://me:hush@a:1"}}, "without credentials"),
        ({"prepare": {"runner": "dask", "tls": {"ca": "a", "cert": "b", "key": "c"}}}, "for a scheduler of tls://"),
    ],
)
def test_what_cannot_be_is_refused(run: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec("adult", **run)
    text = "\n".join(caught.value.lines())
    assert message in text
    assert "hush" not in text
