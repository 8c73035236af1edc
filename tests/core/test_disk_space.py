"""Every library's error for a full disk becomes `DiskFullError`; with free space the same command succeeds."""

from __future__ import annotations

import errno
import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from components import versioning
from components.core import atomic, disk_space
from components.core.errors import DiskFullError, ModelyardError
from components.registry.api import Api
from tests.pipelines import stage_call
from tests.small_disk import fill, mounted
from tests.versioning import small_project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=3) as folder:
        yield folder


def _numpy(folder: Path) -> None:
    np.save(folder / "array.npy", np.zeros(10_000_000))


def _torch(folder: Path) -> None:
    torch.save({"weight": torch.zeros(10_000_000)}, folder / "state.pt")


def _sqlite(folder: Path) -> None:
    connection = sqlite3.connect(folder / "a.db")
    try:
        connection.execute("create table t (x)")
        connection.execute("insert into t values (zeroblob(10000000))")
        connection.commit()
    finally:
        connection.close()


def _atomic(folder: Path) -> None:
    atomic.write_bytes(folder / "file", bytes(10_000_000))


def _copy(folder: Path) -> None:
    try:
        _atomic(folder)
    except OSError as error:
        raise ModelyardError("a library's own word", where="elsewhere") from error


@pytest.mark.parametrize("write", [_numpy, _torch, _sqlite, _atomic, _copy])
def test_whatever_a_library_raises_on_a_full_disk_is_known(disk: Path, write: object) -> None:
    assert callable(write)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # each library its own
        write(disk)
    assert disk_space.is_full(caught.value), repr(caught.value)
    error = disk_space.as_error(caught.value, disk)
    assert str(error.where).startswith(str(disk))
    assert "of 3 MB free" in str(error.got)
    assert "free some space" in str(error.next_step)


def test_other_errors_are_no_full_disk() -> None:
    for error in (OSError(errno.EACCES, "no"), ValueError("disk"), sqlite3.OperationalError("database is locked")):
        assert not disk_space.is_full(error)
    assert disk_space.is_full(OSError(errno.EDQUOT, "quota"))
    assert disk_space.is_full(ExceptionGroup("several", [ValueError(), OSError(errno.ENOSPC, "full")]))


STAGE = """
import sys
from pathlib import Path
from components.core import stage_process
def main(arguments):
    (Path(arguments[0]).parent / "product").write_bytes(bytes(10_000_000))
if __name__ == "__main__":
    sys.exit(stage_process.run("filler", "components.filler.__main__:main"))
"""


@pytest.mark.parametrize("errors_on_the_disk", [False, True])
def test_a_stage_that_fills_the_disk_says_so(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors_on_the_disk: bool
) -> None:
    folder = tmp_path / "project" / "components" / "filler"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "requests").symlink_to(disk)
    (folder.parent / "__init__.py").write_text(f"__path__.append({str(ROOT / 'components')!r})\n")
    (folder / "__main__.py").write_text(STAGE)
    lines: list[str] = []
    if errors_on_the_disk:  # then the error itself cannot be written
        monkeypatch.setattr("tempfile.tempdir", str(disk))

    def call(request: str) -> None:
        stage_call.call("filler", tmp_path / "project", f"requests/{request}", lines.append, lines.append)

    with pytest.raises(DiskFullError, match="no space left on the disk") as caught:
        call("request.json")
    where = Path(str(caught.value.where)).resolve()
    assert where.is_relative_to(disk) or where == tmp_path / "project"
    assert not any("Traceback" in line for line in lines)
    (disk / "product").unlink()
    fill(disk)
    with pytest.raises(DiskFullError):  # not even the request can be written
        call("another.json")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_dvc_on_a_full_disk_says_so_and_goes_on_with_space(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=12) as disk:
        project = small_project.make(disk)
        filler = fill(disk)
        with pytest.raises(DiskFullError, match="no space left on the disk") as caught:
            versioning.reproduce(project, small_project.DATASET, "ingest")
        assert "of 13 MB free" in str(caught.value.got)
        filler.unlink()
        versioning.reproduce(project, small_project.DATASET, "ingest")
        filler = fill(disk)
        before = (disk / "dvc.lock").read_bytes()
        with pytest.raises(DiskFullError):
            versioning.reproduce(project, small_project.DATASET, "ingest", force=True)
        assert (disk / "dvc.lock").read_bytes() == before
        filler.unlink()
        versioning.reproduce(project, small_project.DATASET, "ingest", force=True)
        assert next(entry.current for entry in versioning.status(project, small_project.DATASET))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "(sqlite3.OperationalError) database or disk is full [SQL: INSERT INTO metrics]"),
        (503, "(sqlite3.OperationalError) database or disk is full"),
        (500, "[Errno 28] No space left on device: '/artifacts/model.onnx'"),
    ],
)
def test_a_registry_whose_disk_is_full_is_named_at_once(status: int, message: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": message}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Api(f"http://127.0.0.1:{server.server_port}") as api, pytest.raises(DiskFullError) as caught:
            api.post("runs/log-batch", {})
        server.shutdown()
    assert str(caught.value.where).startswith(f"http://127.0.0.1:{server.server_port}")
    assert message[:60] in str(caught.value.got)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["schema"], ["--help"], ["doctor", "--json"]])
def test_a_command_whose_output_does_not_fit_says_so(command: list[str]) -> None:
    program = Path(sys.executable).parent / "modelyard"
    with Path("/dev/full").open("w") as full:
        completed = subprocess.run([program, *command], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert completed.returncode == 1
    assert completed.stderr.startswith("no space left on the disk\n")
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
def test_a_command_on_a_full_disk_says_so_and_leaves_nothing_half_made(disk: Path, tmp_path: Path) -> None:
    project = disk / "project"
    (project / "pipelines").mkdir(parents=True)
    (project / "data").mkdir()
    (project / "dvc.yaml").write_text("stages: {}\n")
    (project / "params.yaml").write_text("datasets:\n  - other\n")
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "".join(f"words {n} of it,{'ab'[n % 2]}\n" for n in range(200)))
    program = Path(sys.executable).parent / "modelyard"
    environment = {name: value for name, value in os.environ.items() if name != "MODELYARD_PROJECT"}

    def new() -> subprocess.CompletedProcess[str]:
        command = [program, "new", "things", "--from", str(table)]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)

    filler = fill(disk)
    completed = new()
    assert completed.returncode == 1
    assert completed.stderr.startswith("no space left on the disk\n")
    assert f"  where:    {disk}" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert not (project / "pipelines" / "things.yaml").exists()
    assert (project / "params.yaml").read_text() == "datasets:\n  - other\n"
    filler.unlink()
    assert new().returncode == 0
