from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Modelyard = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return tmp_path


@pytest.fixture
def modelyard(project: Path) -> Modelyard:
    """The installed command, run in the project."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "MODELYARD_PROJECT"} | variables
        program = Path(sys.executable).parent / "modelyard"
        return subprocess.run([program, *arguments], cwd=project, capture_output=True, text=True, env=environment)

    return run
