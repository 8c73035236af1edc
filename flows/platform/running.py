"""Records of the processes that run programs, `stack/running/<name>.json`; the next supervisor's shims read them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from flows.platform.process_identity import Identity


class Record(NamedTuple):
    """A running program.

    Args:
        digest: sha256 of the program's file at the start of the process.
        since: start time, seconds since 1970.
    """

    identity: Identity
    digest: str
    since: int


def read(home: Path, name: str) -> Record | None:
    """The record of a program; None if there is no readable record."""
    path = _path(home, name)
    try:
        document = json.loads(path.read_text())
        return Record(Identity.from_json(document["process"]), str(document["digest"]), int(path.stat().st_mtime))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(home: Path, name: str, identity: Identity, digest: str) -> None:
    """Record the process that runs a program."""
    path = _path(home, name)
    path.with_suffix(".failed").unlink(missing_ok=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"process": identity.to_json(), "digest": digest}))
    temporary.replace(path)


def note_failure(home: Path, name: str, digest: str) -> None:
    """Record that a program with this digest did not become ready; its previous process continues."""
    _path(home, name).with_suffix(".failed").write_text(digest)


def has_failed(home: Path, name: str, digest: str) -> bool:
    """Whether a program with this digest did not become ready."""
    try:
        return _path(home, name).with_suffix(".failed").read_text() == digest
    except OSError:
        return False


def forget_failure(home: Path, name: str) -> None:
    """Remove the record of a failure, so that the program is tried again."""
    _path(home, name).with_suffix(".failed").unlink(missing_ok=True)


def forget(home: Path, name: str) -> None:
    """Remove the record of a program that has ended."""
    _path(home, name).unlink(missing_ok=True)
    forget_failure(home, name)


def _path(home: Path, name: str) -> Path:
    return home / "running" / f"{name}.json"
