"""Atomic replacement of files and folders: after a kill at any line, the old or the new content is in place."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers see the complete old or the complete new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as in a write to a full disk
            error.filename = str(path)
        raise


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


@contextmanager
def folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; it replaces `target` when the block ends without an error.

    If the block raises, the new folder is removed and `target` stays unchanged. The replacement is two renames: a kill
    between them leaves the old folder as `.<name>.old`, and the next call restores it first. Temporary folders of
    killed processes are removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old_folder = target.with_name(f".{target.name}.old")
    if old_folder.exists():
        if target.exists():
            shutil.rmtree(old_folder)
        else:
            old_folder.rename(target)
    for leftover in target.parent.glob(f".{target.name}.*.tmp"):
        with _locked(leftover) as is_ours:
            if is_ours:
                shutil.rmtree(leftover, ignore_errors=True)
    new_folder = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    new_folder.mkdir()
    with _locked(new_folder):
        try:
            yield new_folder
            if target.exists():
                target.rename(old_folder)
            new_folder.rename(target)
        except BaseException:
            shutil.rmtree(new_folder, ignore_errors=True)
            raise
    shutil.rmtree(old_folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder until the block or this process ends; yields whether the lock was free.

    The PID in the folder's name is not enough: PIDs are reused, and a killed process may remain as a zombie.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # removed by another process meanwhile
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
