"""The stage as a process: killed, interrupted, without disk; the output is the same, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from components.core import disk_space
from components.scoring.folder import WORK
from tests import small_disk
from tests.processes import is_gone
from tests.scoring.small_scoring import content, request, score, start
from tests.serving import packages


def table(path: Path, rows: int) -> Path:
    lines = [f'c{number},{20 + number % 50},{1.5 + number % 5 / 10},"Ulm"\n' for number in range(rows)]
    path.write_text("id,age,height,town\n" + "".join(lines))
    return path


def wait_for_parts(process: subprocess.Popen[str], out: Path, more_than: int) -> None:
    until = time.monotonic() + 120
    while len(list((out / WORK / "parts").glob("*.json"))) <= more_than:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_interrupted_and_resumed_it_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.table(tmp_path / "bundle")
    path, out = table(tmp_path / "rows.csv", 8_000), tmp_path / "out"
    score(monkeypatch, request(tmp_path / "bundle", path, tmp_path / "whole"))
    asked = request(tmp_path / "bundle", path, out, processes=2)

    process = start(asked, tmp_path)
    wait_for_parts(process, out, 0)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert len(children) >= 2
    until = time.monotonic() + 30
    while not all(is_gone(child.pid) for child in children):
        assert time.monotonic() < until, "a worker outlives the process that it works for"
        time.sleep(0.05)

    done = len(list((out / WORK / "parts").glob("*.json")))
    process = start(asked, tmp_path)
    wait_for_parts(process, out, done)
    scorer = next(
        child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    )
    scorer.kill()
    _, told = process.communicate()
    assert process.returncode == 1
    assert "was killed" in told
    assert "SIGKILL" in told

    done = len(list((out / WORK / "parts").glob("*.json")))
    process = start(asked, tmp_path)
    wait_for_parts(process, out, done)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert "are kept" in told

    process = start(asked, tmp_path)
    told, _ = process.communicate()
    assert process.returncode == 0
    outcome = json.loads(told.splitlines()[-1])
    assert 0 < outcome["scored"] < 8_000
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.slow
def test_a_full_disk_ends_it_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages.table(tmp_path / "bundle")
    path = table(tmp_path / "rows.csv", 3000)
    score(monkeypatch, request(tmp_path / "bundle", path, tmp_path / "whole"))
    with small_disk.mounted(tmp_path / "disk", 1) as disk:
        filler = small_disk.fill(disk)
        os.truncate(filler, filler.stat().st_size - 60_000)
        asked = request(tmp_path / "bundle", path, disk / "out")
        with pytest.raises(Exception) as caught:  # noqa: PT011  # pyarrow's or Python's
            score(monkeypatch, asked)
        assert disk_space.is_full(caught.value)
        assert not (disk / "out" / "manifest.json").exists()
        kept = len(list((disk / "out" / WORK / "parts").glob("*.json")))
        filler.unlink()
        assert kept
        assert score(monkeypatch, asked).scored < 3000
        assert content(disk / "out") == content(tmp_path / "whole")
