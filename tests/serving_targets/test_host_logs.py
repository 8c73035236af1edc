"""Prediction logs of a host come to the machine that decides: each line once, whatever is sealed or killed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components.access import project_door
from components.access import secret as secrets
from components.contracts.prediction_log import OPEN, SEALED, hour_of
from components.core.project import Project
from components.monitoring import sealing
from flows.serving_targets import host_connections, host_logs
from flows.serving_targets.host_logs import HostLogs
from tests.monitoring.test_sealing import HOUR, block

ROOT = Path(__file__).resolve().parents[2]
FILE = "1-a.predictions.jsonl"
MODEL = "m"


@dataclass
class Pair:
    """The machine that decides, and a host."""

    project: Project
    host: Project
    said: list[str] = field(default_factory=list)

    def there(self, hour: str) -> Path:
        """A worker's file on the host."""
        path = self.host.predictions(MODEL) / OPEN / hour / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def here(self, hour: str) -> Path:
        """The same file here."""
        return self.project.predictions(MODEL) / OPEN / hour / f"one~{FILE}"

    def look(self) -> int:
        """One look of a process that has just started."""
        return HostLogs(self.project, self.said.append).look()

    def sealed(self) -> int:
        """How many answers are sealed here."""
        found = sealing.sealed_hours(self.project.predictions(MODEL))
        return sum(one.manifest.facts["predictions"] for one in found)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    project, host = Project(tmp_path / "project"), Project(tmp_path / "host")
    for folder in (project.root, host.root):
        folder.mkdir()
    for name in ("components", "flows", "serving", "pipelines", "dvc.yaml"):
        (host.root / name).symlink_to(ROOT / name)
    settings = f'[hosts.one]\nfolder = "{host.root}"\npython = "{sys.executable}"\n'
    (project.root / "modelyard.toml").write_text(settings)
    secrets.create(project_door.secret_file(project))
    yield Pair(project, host)
    host_connections.close_all()


@pytest.mark.slow
def test_lines_come_as_they_are_written_and_each_once(pair: Pair) -> None:
    hour = hour_of(time.time())
    there, here = pair.there(hour), pair.here(hour)
    there.write_text(block() + '{"half":')
    assert pair.look() == len(block())
    assert here.read_text() == block(), "a line that is being written waits"
    there.write_text(block() + block(first=7))
    assert pair.look() == len(block(first=7))
    assert pair.look() == 0
    assert here.read_text() == there.read_text()
    assert there.exists(), "the hour is not over"
    (state,) = (pair.project.predictions(MODEL) / host_logs.FOLDER).glob("*.json")
    document = json.loads(state.read_bytes())
    document[f"{hour}/{FILE}"]["end"] = 0  # killed between appending and noting it
    state.write_text(json.dumps(document))
    assert pair.look() == 0
    assert here.read_text() == there.read_text()
    assert pair.said == []


@pytest.mark.slow
def test_an_hour_that_is_sealed_here_meanwhile_goes_on_and_then_goes_there(pair: Pair) -> None:
    there = pair.there(HOUR)
    there.write_text(block(count=5))
    log = HostLogs(pair.project, pair.said.append)
    host = host_connections.connections(pair.project)[0]
    assert log.look() == len(block(count=5))
    assert not there.parent.exists(), "the hour is over and here, so the host has removed it"
    sealing.seal(pair.project.predictions(MODEL), HOUR)
    assert pair.sealed() == 5
    there.parent.mkdir()
    there.write_text(block(count=2, first=50))  # a worker whose disk was stuck
    assert log.look() == len(block(count=2, first=50))
    there.parent.mkdir()
    there.write_text(block(count=1, first=80))  # and again, before it is sealed here
    assert log.look() == len(block(count=1, first=80))
    sealing.seal(pair.project.predictions(MODEL), HOUR)
    assert pair.sealed() == 8
    assert (pair.project.predictions(MODEL) / SEALED / f"{HOUR}.2").is_dir()
    assert pair.said == []
    assert host.ask("GET", "/logs") == {}


@pytest.mark.slow
def test_a_host_keeps_what_was_not_brought_whole(pair: Pair) -> None:
    there = pair.there(HOUR)
    there.write_text(block())
    host = host_connections.connections(pair.project)[0]
    size = there.stat().st_size
    assert host.ask("POST", f"/logs/{MODEL}/{HOUR}/remove", {"files": {FILE: size - 1}}) == {"removed": False}
    assert there.read_text() == block()
    for path in (f"/logs/{MODEL}/{HOUR}/..%2F..%2Fx?start=0", f"/logs/{MODEL}/nohour/{FILE}?start=0"):
        with pytest.raises(Exception, match=r"no file of a prediction log|does not match format|Not Found|failed"):
            host.read(path)
    current = hour_of(time.time())
    pair.there(current).write_text(block())
    with pytest.raises(Exception, match="is not over"):
        host.ask("POST", f"/logs/{MODEL}/{current}/remove", {"files": {FILE: size}})
    assert pair.there(current).exists()
