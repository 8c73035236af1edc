"""A package in MLflow's layout: mlflow itself loads it, with the code that lies beside it, and it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.registry import mlmodel
from flows.platform.environment import QUIET
from tests import echo_task, small_package

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """\
import json, sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
example = json.load(open(sys.argv[1] + "/input_example.json"))
frame = pandas.DataFrame(example["data"] * 2, columns=example["columns"])
print("ANSWER", model.predict(frame).to_json(orient="records"))
print("CODE", sys.modules["components.inference.predictor"].__file__)
"""


def written(package: Any, folder: Path) -> dict[str, Any]:
    """Written as the registry writes it; what MLmodel says of columns."""
    folder.mkdir()
    mlmodel.write(package, folder, ROOT, "numpy\n")
    signature = yaml.safe_load((folder / "MLmodel").read_text())["signature"]
    return {side: [column["name"] for column in json.loads(signature[side])] for side in ("inputs", "outputs")}


def answers(folder: Path) -> list[dict[str, Any]]:
    """Of mlflow in a process of its own, to the example twice."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=folder.parent,
        env={**os.environ, **QUIET, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("ANSWER", "CODE")))
    assert said, done.stderr
    assert said["CODE"].startswith(str(folder / "code"))
    found: list[dict[str, Any]] = json.loads(said["ANSWER"])
    return found


def test_a_classifier_gives_label_and_probabilities(tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package")
    columns = written(package, tmp_path / "model")
    assert columns == {"inputs": ["image"], "outputs": ["label", *small_package.CLASSES]}
    first, second = answers(tmp_path / "model")
    expected = package.golden()[0].answer
    assert first == second
    assert first == {"label": expected["label"], **{
        name: pytest.approx(value, abs=1e-5) for name, value in expected["probabilities"].items()}}  # fmt: skip


def test_any_other_task_gives_json(tmp_path: Path) -> None:
    package = echo_task.build(tmp_path / "package")
    assert written(package, tmp_path / "model") == {"inputs": ["text"], "outputs": ["prediction"]}
    first, second = (json.loads(answer["prediction"]) for answer in answers(tmp_path / "model"))
    assert first == second == {"text": "one", "mean": pytest.approx(sum(map(ord, "one")) / 3)}
