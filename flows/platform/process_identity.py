"""The identity of a process, which a PID alone is not: PIDs are reused, and the wall clock can be stepped.

On Linux the identity is the PID, the start in clock ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)) and
the boot id; none of them depends on the wall clock. Without `/proc`, the creation time replaces start and boot id.
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
        start: clock ticks from boot to the start of the process; without `/proc` seconds since 1970.
        boot: the boot id; empty without `/proc`.
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
            ValueError: the document is not an identity.
        """
        match document:
            case {"pid": int(pid), "start": int() | float() as start, "boot": str(boot)}:
                return Identity(pid, start, boot)
        raise ValueError(f"not the identity of a process: {document!r}")

    def is_alive(self) -> bool:
        """Whether this process has not ended."""
        return of(self.pid) == self


def own() -> Identity:
    """The identity of this process."""
    identity = of(os.getpid())
    assert identity is not None  # noqa: S101  # it runs this line
    return identity


def of(pid: int) -> Identity | None:
    """The identity of the process with a PID; None if there is no such process or it is a zombie."""
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
