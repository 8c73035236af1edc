"""A project with prepared digits, and a short pipeline on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.project import Project
from tests.runners.digits_requests import ROOT
from tests.training.prepared_digits import prepare

SETTINGS = {"train.epochs": 1, "train.threads": 1}


@pytest.fixture(autouse=True)
def _code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, SETTINGS)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    prepare(folder / "data" / "digits" / "prepared")
    return Project(folder)
