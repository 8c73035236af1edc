"""Every import rule is seen to break once, on a copy of the tree with one wrong line each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent

WRONG = {
    "flows above serving above components": ("components/ingestion/stage.py", "import flows.platform.environment"),
    "stages: none imports a later one; core imports none of ours": (
        "components/core/errors.py",
        "import components.identity.digest",
    ),
    "flows: commands above releases and comparisons, these above pipelines, runners, what serves, and the platform": (
        "flows/platform/health.py",
        "import flows.pipelines.plan",
    ),
    "prefect only in flows": ("components/training/stage.py", "import prefect"),
    "optuna only where pipelines are tuned": ("components/evaluation/stage.py", "import optuna"),
    "mlflow only in registry": ("flows/platform/health.py", "import mlflow"),
    "bentoml only in packaging and serving": ("flows/platform/environment.py", "import bentoml"),
    "what signs and what lists a bundle's parts only in packaging": ("flows/cli/verify.py", "import model_signing"),
    "great_expectations only in validation": ("components/ingestion/stage.py", "import great_expectations"),
    "the client of Kubernetes only where pods serve": ("flows/releases/steps.py", "import kubernetes"),
    "dvc only in versioning": ("flows/platform/environment.py", "import dvc.repo"),
    "dask only where partitions run on a cluster": ("components/preparation/prepare.py", "import distributed"),
    "torch only where networks are built, trained and evaluated": ("components/preprocessing/image.py", "import torch"),
    "serving reaches no training library, not even through others": (
        "components/inference/predictor.py",
        "import pandas",
    ),
    "onnxruntime only where its telemetry is turned off": ("components/inference/predictor.py", "import onnxruntime"),
    "the flow and the command line hold no tensors and no data frames": (
        "flows/platform/environment.py",
        "import numpy",
    ),
}


@pytest.fixture(scope="module")
def report_of_broken_tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    copy = tmp_path_factory.mktemp("tree")
    for room in ("flows", "components", "serving"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line in WRONG.values():
        path = copy / file
        path.write_text(path.read_text() + f"\n{line}\n")
    done = subprocess.run(
        [sys.executable, "-P", PROGRAMS / "lint-imports", "--no-cache"],
        cwd=copy,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(copy), "PATH": str(PROGRAMS), "COLUMNS": "200"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_every_rule_has_its_wrong_line() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == set(WRONG)


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_import_breaks_its_rule(report_of_broken_tree: str, rule: str) -> None:
    line = next(line for line in report_of_broken_tree.splitlines() if line.startswith(rule[:70]))
    assert "BROKEN" in line


def test_a_room_without_a_place_is_refused(tmp_path: Path) -> None:
    for room in ("flows", "components", "serving"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "components" / "attic").mkdir()
    (tmp_path / "components" / "attic" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-P", PROGRAMS / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": str(PROGRAMS)},
    )
    assert done.returncode == 1
    assert "attic" in done.stdout
