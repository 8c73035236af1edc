"""While a run goes on: a server of the stack that does not answer any more is said, since the run waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from components.core.project import Project
from flows.platform import lifecycle

LOOK_SECONDS = 3.0
SAY_SECONDS = 10.0


@contextmanager
def watched(
    project: Project,
    say: Callable[[str], None],
    *,
    look_seconds: float = LOOK_SECONDS,
    say_seconds: float = SAY_SECONDS,
) -> Iterator[None]:
    """While the block lasts, say every `say_seconds` which server has not answered for how long.

    Args:
        say: called from a thread of its own.
    """
    ended = threading.Event()

    def look() -> None:
        away: dict[str, float] = {}
        said: dict[str, float] = {}
        while not ended.wait(look_seconds):
            now = time.monotonic()
            silent = lifecycle.silent_servers(project)
            away = {name: away.get(name, now - look_seconds) for name in silent}
            for name, since in away.items():
                if now - since >= say_seconds and now - said.get(name, 0.0) >= say_seconds:
                    said[name] = now
                    say(f"{name} has not answered for {now - since:.0f} s; the run waits for it")

    thread = threading.Thread(target=look, name="server watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
