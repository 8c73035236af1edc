"""Which process a number means: a PID is used again, and the wall clock can be stepped.

On Linux a process is its PID, its start in clock ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)) and the
boot's id: neither depends on the wall clock. Where there is no `/proc`, the creation time takes the place of both.
Only the standard library is imported here, so that a small launcher can import this module.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """One process, from its start to its end.

    Args:
        start: clock ticks from boot to its start; without `/proc` seconds since 1970.
        boot: the id of the boot; empty without `/proc`.
    """

    pid: int
    start: float
    boot: str

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads."""
        return asdict(self)

    @staticmethod
    def from_json(document: object) -> Identity:
        """The identity that `to_json` wrote.

        Raises:
            ValueError: the document is none.
        """
        match document:
            case {"pid": int(pid), "start": int() | float() as start, "boot": str(boot)}:
                return Identity(pid, start, boot)
        raise ValueError(f"not the identity of a process: {document!r}")

    def is_alive(self) -> bool:
        """Whether this process has not ended."""
        return of(self.pid) == self


def own() -> Identity:
    """This process."""
    identity = of(os.getpid())
    assert identity is not None  # noqa: S101  # it runs this line
    return identity


def of(pid: int) -> Identity | None:
    """The process of a PID; None if there is none, or if it has ended and only waits to be collected (a zombie)."""
    if not (_PROC / "self").exists():
        return _without_proc(pid)
    try:
        # "PID (NAME) STATE ...": the name may hold spaces and brackets, so the fields are counted from its end.
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else Identity(pid, int(fields[19]), boot)


def _without_proc(pid: int) -> Identity | None:
    import psutil

    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended else Identity(pid, process.create_time(), "")
    except psutil.NoSuchProcess:
        return None
