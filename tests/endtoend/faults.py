"""Faults and waits that a house is put into for as long as a block lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psutil
import yaml

from components.release.ledger import Entry
from flows.platform import orphans
from tests.endtoend.releases import Releases
from tests.house import House


@contextlib.contextmanager
def broken_tree(house: House) -> Iterator[None]:
    """A syntax error in the serving code of the working tree."""
    path = house.root / "serving" / "canary.py"
    content = path.read_text()
    path.write_text(content + "\ndef (\n")
    try:
        yield
    finally:
        path.write_text(content)


@contextlib.contextmanager
def suspended(house: House, *programs: str) -> Iterator[None]:
    """Programs of the platform that hold their ports and answer nothing."""
    processes = [process for program in programs for process in orphans.find(str(house.root), program)]
    assert processes, programs
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def more_gates(releases: Releases, name: str, **gates: Any) -> Iterator[None]:
    """A pipeline with more gates, e.g. `manual={"timeout_minutes": 20}`."""
    path = releases.house.project.pipeline_file(name)
    content = path.read_text()
    document = yaml.safe_load(content)
    path.write_text(yaml.safe_dump({**document, "gates": {**document["gates"], **gates}}))
    try:
        yield
    finally:
        path.write_text(content)


@contextlib.contextmanager
def gates_running(releases: Releases, name: str, version: str) -> Iterator[None]:
    """The gates of a version run, for up to two minutes."""
    with more_gates(releases, name, latency={"p99_ms": 100_000, "seconds": 120}):
        releases.set(name, version)
        releases.wait_for(name, version, "bundled")
        yield


@contextlib.contextmanager
def approval_pending(releases: Releases, name: str, version: str) -> Iterator[Entry]:
    """A version waits for a person's approval, for up to an hour; yields the entry that says so."""
    with more_gates(releases, name, manual={"timeout_minutes": 60}):
        releases.set(name, version)
        yield releases.wait_for(name, version, "waiting")
