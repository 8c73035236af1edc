from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import main

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


@pytest.fixture
def inline(project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Modelyard:
    """A command run in the project, in this process: for what does not depend on the process."""
    monkeypatch.chdir(project)
    monkeypatch.delenv("MODELYARD_PROJECT", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the project's folder comes to it

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = main([*arguments])
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run
