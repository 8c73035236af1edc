"""Processes as the tests look at them."""

from __future__ import annotations

import psutil


def is_gone(pid: int) -> bool:
    """Whether a process has ended.

    One that ended and was not waited for stays in the process table; where process 1 does not collect orphans (in many
    containers), it stays there for good.
    """
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Processes that were started with this variable in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                found.append(process)
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue
    return found
