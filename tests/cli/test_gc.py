"""`modelyard gc`: prints a table, removes nothing with --plan, and names what it cannot judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from components.core.project import Project
from tests.retention import planted
from tests.retention.planted import Planted

Modelyard = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Planted(tmp_path / "project").project.root


@pytest.mark.slow
def test_gc_says_what_goes_and_removes_it(modelyard: Modelyard, project: Path) -> None:
    before = planted.tree(Project(project))
    completed = modelyard("gc", "--plan")
    assert (completed.returncode, planted.tree(Project(project)) == before) == (0, True)
    assert "gates-1.json" in completed.stdout
    assert "not judged: the registry does not run" in completed.stderr
    assert "things can go" in completed.stdout
    plan = json.loads(modelyard("gc", "--plan", "--json").stdout)
    assert plan["removed"] == []
    assert {row["kind"] for row in plan["plan"] if row["removable"]} == {
        *("service", "log", "request", "report", "evidence", "rehearsal"),
    }
    removed = modelyard("gc")  # nobody to ask
    assert removed.returncode == 0
    assert "things removed" in removed.stdout
    assert "[1/" in removed.stderr
    again = modelyard("gc", "--json")
    assert json.loads(again.stdout)["removed"] == []
    assert "gates-1.json" not in again.stdout


@pytest.mark.slow
def test_gc_waits_for_no_other_gc_and_reads_its_settings(modelyard: Modelyard, project: Path) -> None:
    with FileLock(Project(project).locks / "retention.lock"):
        completed = modelyard("gc", "--yes")
    assert (completed.returncode, "another gc is at work" in completed.stderr) == (1, True)
    (project / "modelyard.toml").write_text("[retention]\nrollback_targets = 0\n")
    completed = modelyard("gc", "--plan")
    assert (completed.returncode, "line 2: retention.rollback_targets" in completed.stderr) == (2, True)
