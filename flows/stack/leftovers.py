"""The stack's own processes, known by a mark in their environment that every child inherits."""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil

from flows.stack.mark import PROGRAM, STACK


def find(root: str, program: str | None = None) -> list[psutil.Process]:
    """Processes of the stack of `root` (of one program of it), not this process and none above it."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue
        if environment.get(STACK) == root and (program is None or environment.get(PROGRAM) == program):
            found.append(process)
    return found


def end(processes: Collection[psutil.Process], patience_seconds: float = 2.0) -> None:
    """Ask processes to end, then kill those that do not; returns when all are gone."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=patience_seconds)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)


def clear(root: str, program: str | None = None, patience_seconds: float = 2.0) -> int:
    """End what a killed stack (or one program of it) left behind; returns how many processes."""
    left = find(root, program)
    end(left, patience_seconds)
    return len(left)
