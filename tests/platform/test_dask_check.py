"""`modelyard doctor` asks the Dask schedulers of `modelyard.toml`, and waits for none for long."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.project import Project
from flows.platform import dask_check, diagnostics
from tests.preparation.test_dask import scheduler


def named(folder: Path, url: str, *stages: str) -> Project:
    text = "".join(f'[run.{stage}]\nrunner = "dask"\nscheduler = "{url}"\n' for stage in stages)
    (folder / "modelyard.toml").write_text(text)
    return Project(folder)


def test_without_a_scheduler_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    assert dask_check.of(Project(tmp_path)) == ("ok", "modelyard.toml names no Dask cluster", "")
    (tmp_path / "modelyard.toml").write_text('[run.prepare]\nrunner = "dask"\nworkers = 2\n')
    assert dask_check.of(Project(tmp_path))[:2] == ("ok", "prepare by Dask workers of this machine")


@pytest.mark.slow
def test_a_scheduler_and_its_workers_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scheduler(tmp_path) as url:
        project = named(tmp_path, url, "score")
        monkeypatch.setattr(dask_check, "LIMIT_SECONDS", 60.0)
        for _ in range(20):  # the worker may come later
            finding = diagnostics._dask(project)
            if finding.verdict != "warn":
                break
            assert finding.found == f"score: {url} answers, and has no worker"
        assert finding.verdict == "ok", finding
        assert finding.found == f"score: {url}, 1 workers with 2 threads, with the versions of this machine"


@pytest.mark.slow
def test_a_worker_with_other_versions_is_named(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.metadata as m; own = m.version; m.version = lambda name: "
        "'0.1' if name == 'onnxruntime' else own(name)\n"
        "from components.cluster import examination; sys.exit(examination.main())"
    )
    with scheduler(tmp_path) as url:
        spec = dask_check.DaskSpec(runner="dask", scheduler=url)
        request = dask_check.DaskExamination(cluster=spec, place="run.score", folder=str(tmp_path)).model_dump_json()
        words = [sys.executable, "-c", code]
        for _ in range(20):
            done = subprocess.run(words, input=request, capture_output=True, text=True, check=False)
            if done.returncode:
                break
    assert "a Dask worker has another version of onnxruntime" in done.stdout


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_check, "LIMIT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        project = named(tmp_path, url, "prepare", "score")
        verdict, found, what_to_do = dask_check.of(project)
    assert verdict == "fail"
    assert found.count("does not answer in 1 s") == 2
    assert "run.prepare" in what_to_do


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_check, "LIMIT_SECONDS", 60.0)
    verdict, found, what_to_do = dask_check.of(named(tmp_path, "tcp://127.0.0.1:9", "prepare"))
    assert verdict == "fail"
    assert found.startswith("prepare: the Dask scheduler cannot be reached (tcp://127.0.0.1:9)")
    assert "correct `scheduler`" in what_to_do
