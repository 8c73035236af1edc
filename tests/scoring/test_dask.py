"""Scoring on Dask clusters: the bytes of one process, whoever is killed, and no piece twice."""

from __future__ import annotations

import json
import pickle
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.cluster.call import FunctionCall
from components.contracts.score_request import ScoreRequest
from components.core.errors import CorruptArtifactError, ModelyardError
from components.scoring import remote_part
from components.scoring.folder import WORK
from components.scoring.piece import Piece
from components.scoring.remote_part import ObjectFile, RemotePiece
from components.scoring.sources import ScoreSource
from components.scoring.worker import WorkerPlan
from flows.runners import source_archive
from tests.preparation.test_dask import ROOT, scheduler
from tests.processes import is_gone
from tests.scoring.small_scoring import content, request, score, start
from tests.scoring.test_processes import table, wait_for_parts
from tests.serving import packages


def on_dask(bundle: Path, path: Path, out: Path, code: Path | None = None, **cluster: Any) -> ScoreRequest:
    document = {"cluster": {"runner": "dask", **cluster}, "code": None if code is None else str(code)}
    return request(bundle, path, out, cluster=document)


@pytest.mark.long
def test_a_killed_worker_is_replaced_and_ctrl_c_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.table(tmp_path / "bundle")
    path, out = table(tmp_path / "rows.csv", 20_000), tmp_path / "out"
    score(monkeypatch, request(tmp_path / "bundle", path, tmp_path / "whole"))
    process = start(on_dask(tmp_path / "bundle", path, out, workers=2), tmp_path)
    wait_for_parts(process, out, 1)
    (server,) = [one for one in psutil.Process(process.pid).children() if "forkserver" in " ".join(one.cmdline())]
    workers = server.children()
    assert len(workers) == 2
    workers[0].kill()
    wait_for_parts(process, out, len(list((out / WORK / "parts").glob("*.json"))) + 4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "a Dask worker ended: its tasks are repeated" in said
    assert "are kept" in said
    assert "Traceback" not in said
    until = time.monotonic() + 30
    while not all(is_gone(one.pid) for one in (server, *workers)):
        assert time.monotonic() < until, "a worker outlives the process that it works for"
        time.sleep(0.05)
    rest = score(monkeypatch, request(tmp_path / "bundle", path, out))
    assert 0 < rest.scored < 20_000
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.long
def test_the_workers_of_an_existing_scheduler_write_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.table(tmp_path / "bundle")
    path, out = table(tmp_path / "rows.csv", 2_000), tmp_path / "out"
    score(monkeypatch, request(tmp_path / "bundle", path, tmp_path / "whole"))
    code = source_archive.ensure(tmp_path / "code", ROOT, [])
    with scheduler(tmp_path) as url:
        process = start(on_dask(tmp_path / "bundle", path, out, code, scheduler=url), tmp_path)
        told, said = process.communicate()
    assert process.returncode == 0, said
    assert json.loads(told.splitlines()[-1])["scored"] == 2_000
    assert content(out) == content(tmp_path / "whole")


def test_errors_of_a_worker_come_back(tmp_path: Path) -> None:
    packages.table(tmp_path / "bundle")
    asked = request(tmp_path / "bundle", tmp_path / "rows.csv", tmp_path / "out", tolerance=-1.0)  # no answer keeps it
    source = ScoreSource("tables", asked.inputs, asked.names)
    plan = ObjectFile.write(tmp_path / "plan", WorkerPlan(asked, source, str(tmp_path), "run", {}, {}))
    piece = ObjectFile.write(tmp_path / "piece", Piece(0, "text", 0, 2, ""))
    outcome = pickle.loads(FunctionCall(remote_part.score, RemotePiece(plan, piece), None).as_bytes())
    with pytest.raises(CorruptArtifactError, match="the answer to a golden example differs"):
        outcome.value()
    outcome = pickle.loads(
        FunctionCall(remote_part.score, RemotePiece(ObjectFile.write(tmp_path / "plan", {}), piece), None).as_bytes()
    )
    with pytest.raises(ModelyardError, match="a scoring process failed") as caught:
        outcome.value()
    assert "AttributeError" in str(caught.value.got)


def test_a_changed_file_of_the_working_folder_is_not_loaded(tmp_path: Path) -> None:
    file = ObjectFile.write(tmp_path / "piece", {"number": 1})
    assert file.read() == {"number": 1}
    file.path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(CorruptArtifactError, match="was changed"):
        file.read()
