"""Restarts a killed supervisor. The guardian is itself a supervised program, so each of the two restarts the other."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from components.core import readable


def main() -> None:
    """Wait until the parent process (the supervisor) has ended; restart it unless the stack was stopped."""
    parent = os.getppid()
    _wait_for_end(parent)
    from components.core.project import Project
    from flows.platform import state, supervisor

    project = Project(Path(sys.argv[1]))
    _redirect_output_to(state.folder(project) / "logs" / "guardian.log")
    with state.lock(project):
        stack_state = state.load(project)
        if stack_state is None or not stack_state.wanted or supervisor.answers(project):
            return
        print(f"the supervisor (pid {parent}) was killed; starting it again", flush=True)
        supervisor.start(project)


def _wait_for_end(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not Linux, or the parent has ended: poll
        pass
    else:
        if os.getppid() == parent:
            readable.wait([descriptor], None)
    while os.getppid() == parent:
        time.sleep(0.3)


def _redirect_output_to(log_file: Path) -> None:
    """Redirect stdout and stderr to a file: they were a pipe to the killed supervisor."""
    with log_file.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)


if __name__ == "__main__":
    main()
