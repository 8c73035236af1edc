"""What the linter cannot see: which libraries a process really holds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "pandas", "mlflow", "prefect", "great_expectations", "dvc", "numpy", "sklearn", "matplotlib"}
SMALL = {"httpx", "pydantic", "psutil", "rich", "yaml", "http"}

SHOW = "; import json, sys; print(); print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def modules_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + SHOW], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_only_click() -> None:
    loaded = modules_after("from flows.cli import main; assert main(['--help']) == 0")
    assert "click" in loaded
    assert not loaded & (HEAVY | SMALL)


@pytest.mark.parametrize(
    "code",
    [
        "import flows.platform",
        "import flows.pipelines.schedules",
        "import flows.cli.run",
        "import flows.cli.why",
        "import flows.platform.diagnostics",
        "import components.registry.api",
    ],
)
def test_light_modules_hold_no_heavy_library(code: str) -> None:
    assert not modules_after(code) & HEAVY


@pytest.mark.parametrize("code", ["import serving.app", "import components.inference.predictor"])
def test_serving_never_holds_training_libraries(code: str) -> None:
    loaded = modules_after(code)
    assert "numpy" in loaded
    assert not loaded & (HEAVY - {"numpy"})


def test_evaluation_measures_without_torch() -> None:
    assert "torch" not in modules_after("import components.evaluation.stage")


def test_a_heavy_import_would_be_seen() -> None:
    assert "numpy" in modules_after("import numpy")
