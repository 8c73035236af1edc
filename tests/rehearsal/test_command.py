"""`modelyard rehearse` in a project's folder: the command, its stage as a process, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import main
from tests import small_package
from tests.rehearsal.test_stage import write_log

Command = Callable[..., tuple[int, str, str]]
PIPELINE = """name: m
task: image-classification
dataset: m
model: {family: cnn, name: textbook, depth: 1, width: 8}
monitor:
  false_alarms_per_month: 0.2
  min_rows: 5
  actions: {drift: [notify], notify: [{url_env: ALERTS_URL}]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "pipelines" / "m.yaml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELYARD_PROJECT", raising=False)
    return tmp_path


@pytest.fixture
def command(project: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["rehearse", *words])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.mark.slow
def test_a_log_is_rehearsed_and_the_report_is_copied(project: Path, command: Command) -> None:
    package = small_package.build(project / ".modelyard" / "packages" / "one")
    write_log(project / ".modelyard" / "predictions" / "m", package.digest)
    shutil.copy(project / "pipelines" / "m.yaml", project / "other.yaml")
    words = ("m", "--from", "log", "--scenario", "sudden:day=0.5,drop=0.2", "--months", "0.05", "--seed", "3")
    code, out, err = command(*words, "--json", "--html", "page.html", "--against", "other.yaml")
    assert code == 0, err
    result = json.loads(out)
    assert [one["policy"] for one in result["results"]] == ["m", "other (other)"]
    assert result["results"][0]["alarms"] == result["results"][1]["alarms"] != []
    assert "data:image/png" in (project / "page.html").read_text()
    code, out, err = command(*words)
    assert code == 0, err
    assert out.splitlines()[0].split()[:2] == ["scenario", "policy"]
    assert "report.html" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody",), "no pipeline nobody"),
        (("m", "--from", "elsewhere"), "no prediction log"),
        (("m", "--from", "log"), "has logged no answer"),
        (("m", "--against", "absent.yaml"), "no such pipeline file"),
        (("m",), "prepared"),
    ],
)
def test_what_is_not_there_is_said_at_once(command: Command, words: tuple[str, ...], told: str) -> None:
    code, _, err = command(*words)
    assert code != 0
    assert told in err
