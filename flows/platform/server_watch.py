"""Logs servers of the stack that stop answering during a run, because the run waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.core.log import Log
from components.core.project import Project
from components.core.waiting import periodically
from flows.platform import stack_status

POLL_SECONDS = 3.0
LOG_PERIOD_SECONDS = 10.0


@contextmanager
def watched(
    project: Project,
    log: Log,
    *,
    poll_seconds: float = POLL_SECONDS,
    log_period_seconds: float = LOG_PERIOD_SECONDS,
) -> Iterator[None]:
    """During the block, log every `log_period_seconds` each server that does not answer, and for how long.

    Args:
        log: called in a background thread.
        poll_seconds: time between two checks of the servers.
    """
    unreachable_since: dict[str, float] = {}
    logged_at: dict[str, float] = {}

    def poll() -> None:
        now = time.monotonic()
        unreachable = stack_status.unreachable_servers(project)
        for name in unreachable_since.keys() - set(unreachable):
            del unreachable_since[name]
        for name in unreachable:
            since = unreachable_since.setdefault(name, now - poll_seconds)
            if now - since >= log_period_seconds and now - logged_at.get(name, 0.0) >= log_period_seconds:
                logged_at[name] = now
                log(f"{name} has not answered for {now - since:.0f} s; the run waits for it")

    with periodically(poll, poll_seconds):
        yield
