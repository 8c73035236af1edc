from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.core.project import Project
from components.identity import manifest
from flows.platform import diagnostics
from flows.serving_targets import hosts_report

Modelyard = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]

DATASET = """\
name: shapes
task: image-classification
title: Squares and circles
source: {kind: folder, path: photos}
input: {height: 8, width: 8, channels: 1}
"""


@pytest.fixture
def shapes(project: Path) -> Path:
    folder = project / "data" / "shapes"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(DATASET)
    return folder


@pytest.mark.slow
def test_datasets_shows_what_is_made(modelyard: Modelyard, shapes: Path) -> None:
    (shapes / "raw").mkdir()
    (shapes / "raw" / "samples.parquet").write_bytes(b"rows")
    sealed = manifest.seal(shapes / "raw", "raw", {})
    completed = modelyard("datasets", "--json")
    assert completed.returncode == 0
    (row,) = json.loads(completed.stdout)
    assert (row["name"], row["title"], row["source"]) == ("shapes", "Squares and circles", "folder")
    assert row["raw"] == sealed.digest[:12]
    assert row["prepared"] is None
    assert "Squares and circles" in modelyard("datasets").stdout


def test_datasets_names_a_broken_one_and_shows_the_others(modelyard: Modelyard, shapes: Path) -> None:
    other = shapes.with_name("other")
    other.mkdir()
    (other / "dataset.yaml").write_text(DATASET.replace("shapes", "other") + "colour: red\n")
    completed = modelyard("datasets")
    assert completed.returncode == 1
    assert "Squares and circles" in completed.stdout
    assert "line 6: colour: unknown key" in completed.stderr


def test_schema_is_that_of_the_file(inline: Modelyard) -> None:
    pipeline = json.loads(inline("schema").stdout)
    assert {"name", "dataset", "model", "train", "gates", "schedule"} <= pipeline["properties"].keys()
    assert pipeline["additionalProperties"] is False
    assert "source" in json.loads(inline("schema", "--dataset").stdout)["properties"]
    images = json.loads(inline("schema", "--dataset", "--task", "image-classification").stdout)
    settings = images["properties"]["input"]["properties"].keys()
    assert settings == {
        "height", "width", "channels", "max_megapixels", "levels", "resize", "normalise",
        "shortest_edge", "resample", "processor",
    }  # fmt: skip
    assert inline("schema", "--dataset", "--task", "divination").returncode == 2


def test_doctor_sees_a_package_that_is_not_the_locked_one(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("click==0.1\nno-such-package==1.0\nsome-windows-thing==1 ; sys_platform == 'win32'\n")
    wrong = diagnostics.different_packages(lock)
    assert len(wrong) == 2
    assert wrong[0].startswith("click: ")
    assert wrong[0].endswith("locked 0.1")
    assert wrong[1] == "no-such-package: not installed, locked 1.0"


@pytest.mark.slow
def test_doctor_fails_with_what_to_do(modelyard: Modelyard, project: Path) -> None:
    (project / "requirements.lock").write_text("click==0.1\n")
    completed = modelyard("doctor", "--json", MODELYARD_MIRROR=str(project / "nowhere"))
    assert completed.returncode == 1
    verdicts = {row["check"]: row for row in json.loads(completed.stdout)}
    assert verdicts["packages"]["verdict"] == "fail"
    assert "make install" in verdicts["packages"]["what_to_do"]
    assert verdicts["mirror"]["verdict"] == "warn"
    assert verdicts["python"]["verdict"] == "ok"
    assert "make install" in modelyard("doctor").stdout


def test_doctor_without_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "git" else real(name))
    monkeypatch.setenv("MODELYARD_PROJECT", str(project))
    from components.core.project import Project

    verdicts = {finding.check: finding.verdict for finding in diagnostics.diagnose(Project(project))}
    assert verdicts["git"] == "fail"


@pytest.mark.slow
def test_status_of_a_stopped_stack(modelyard: Modelyard) -> None:
    completed = modelyard("status", "--json")
    assert completed.returncode == 1
    assert [(row["name"], row["state"]) for row in json.loads(completed.stdout)["services"]] == [
        ("prefect", "stopped"),
        ("mlflow", "stopped"),
        ("runner", "stopped"),
        ("controller", "stopped"),
        ("console", "stopped"),
    ]
    assert modelyard("down").stdout == "nothing was running\n"


RUN = """
import signal, sys, time
from pathlib import Path
from components.core.project import Project
from flows.platform import crashed_runs
signal.signal(signal.SIGINT, signal.default_int_handler)
with crashed_runs.tracked(Project(Path(sys.argv[1])), "a-run"):
    print("at work", flush=True)
    time.sleep(120)
"""


@pytest.mark.slow
def test_down_stops_a_run_as_ctrl_c_does(modelyard: Modelyard, project: Path) -> None:
    command = [sys.executable, "-c", RUN, str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "at work\n"
        completed = modelyard("down")
        assert (completed.returncode, completed.stdout) == (0, "stopped\n")
        assert "stopping 1 run that" in completed.stderr
        assert "does not stop" not in completed.stderr
        assert "KeyboardInterrupt" in run.communicate(timeout=10)[1]
    assert modelyard("down").stdout == "nothing was running\n"


def test_a_problem_of_the_settings_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text("[conections]\n")
    findings = diagnostics.diagnose(Project(tmp_path), [hosts_report.finding])
    told = [one for one in findings if "modelyard.toml" in one.found or "conections" in one.what_to_do]
    assert len(told) == 1, told
    assert {one.found for one in findings if one.check in ("ledger", "hosts")} == {
        f"not looked at: see {told[0].check}"
    }
