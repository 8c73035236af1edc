"""A lock file has one holder; the others wait; the kernel releases the lock of a killed holder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from components.core import file_lock

HOLD = """
import sys, time
from pathlib import Path
from components.core import file_lock
with file_lock.locked(Path(sys.argv[1]), "nobody"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    taken = threading.Event()

    def take() -> None:
        with file_lock.locked(path, "the other process"):
            taken.set()

    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert file_lock.is_locked(path)
        with (
            pytest.raises(TimeoutError, match="locked by the other process"),
            file_lock.locked(path, "the other process", timeout_seconds=0),
        ):
            pass
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.3)
        holder.kill()
        thread.join(10)
    assert taken.is_set()
    assert not file_lock.is_locked(path)


def test_asking_makes_no_file(tmp_path: Path) -> None:
    assert not file_lock.is_locked(tmp_path / "a.lock")
    assert not (tmp_path / "a.lock").exists()


def test_a_holder_may_remove_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with file_lock.locked(path, "the first"):
            order.append("second")

    thread = threading.Thread(target=second)
    with file_lock.locked(path, "nobody"):
        thread.start()
        assert waits.wait(5)
        path.unlink()
        with file_lock.locked(path, "nobody", timeout_seconds=5):
            order.append("another file")
    thread.join(10)
    assert sorted(order) == ["another file", "second"]
