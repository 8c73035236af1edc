"""Files and folders that are either wholly there or not there: a kill at any line leaves the old or the new."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never a part."""
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
        if isinstance(error, OSError) and error.filename is None:  # a write on a full disk names no file
            error.filename = str(path)
        raise


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


@contextmanager
def folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to fill; it takes the place of `target` when the block ends well.

    If the block raises, the new folder is removed and `target` stands as it was. The replacement is two renames:
    a kill between them leaves the old folder beside its place, and the next call puts it back first. What killed
    processes left behind is cleared away.
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
    """Lock a folder for as long as the block lasts, or until this process ends, however it ends.

    Whether a process with a folder's number lives says less: numbers come again, and one that was killed may stay in
    the table of processes.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # cleared away by another one meanwhile
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
