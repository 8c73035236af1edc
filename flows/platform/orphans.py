"""Finds and ends processes of the stack, by a mark in their environment that every child inherits."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection

import psutil

from flows.platform import ports
from flows.platform.process_mark import PROGRAM, STACK


def find(root: str, program: str | None = None) -> list[psutil.Process]:
    """The processes of the stack of `root`, or of one of its programs; without this process and its ancestors."""
    excluded = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    processes = []
    for process in psutil.process_iter():
        if process.pid in excluded:
            continue
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):  # the process has ended, or belongs to another user
            continue
        if environment.get(STACK) == root and (program is None or environment.get(PROGRAM) == program):
            processes.append(process)
    return processes


def is_taken(root: str, port: int) -> bool:
    """Whether a process outside the stack of `root` listens on a port: two stacks may choose the same free port."""
    if ports.is_free(port):
        return False
    listener = ports.listener(port)
    is_own = listener is not None and listener.pid in {process.pid for process in find(root)}
    return not is_own and not ports.is_free(port)


def program_of(process: psutil.Process) -> str | None:
    """The name of the program that a process belongs to; None for the supervisor and the shims."""
    try:
        return process.environ().get(PROGRAM)
    except (psutil.Error, OSError):
        return None


def kill(processes: Collection[psutil.Process]) -> None:
    """Kill processes, and wait until all have ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until_gone(processes, 5.0)


def end(processes: Collection[psutil.Process], grace_seconds: float = 2.0) -> None:
    """Send SIGTERM, kill those that still run after `grace_seconds`, and wait until all have ended."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    for process in wait_until_gone(processes, grace_seconds):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_until_gone(processes, 5.0)


def end_orphans(root: str, program: str | None = None, grace_seconds: float = 2.0, excluded: int | None = None) -> int:
    """End the processes that a killed stack, or one of its programs, left running; returns their number.

    Args:
        excluded: the PID of a process that is left alone, with its descendants. The session is no criterion: BentoML's
            process manager gives each worker a session of its own.
    """
    excluded_pids = {excluded, *(process.pid for process in descendants(excluded))} if excluded is not None else set()
    processes = [process for process in find(root, program) if process.pid not in excluded_pids]
    end(processes, grace_seconds)
    return len(processes)


def descendants(pid: int) -> list[psutil.Process]:
    """The children of a process, their children, and so on."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_until_gone(processes: Collection[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended, or `seconds` have passed; returns those that still run. Zombies have ended."""
    deadline = time.monotonic() + seconds
    while (running := [process for process in processes if _is_running(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
