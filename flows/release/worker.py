"""`python -m flows.release.worker`: imports what a release needs, waits for the name of a model, and releases it.

The watcher keeps one waiting: importing Prefect takes seconds, which nobody shall wait for who has set an alias.
"""

from __future__ import annotations

import json
import os
import sys
import time

from components.contracts.errors import StackError
from components.contracts.project import Project
from flows import environment

MOST_ROUNDS = 16
PATIENCE_SECONDS = 2.0


def main() -> int:
    """Wait for one line, `{"name": ..., "champion_gone": ...}`, and carry out all that is due for that model."""
    environment.quiet(os.environ)
    project = Project.find()
    from flows.release import flow as _imported_early  # noqa: F401
    from flows.release import look

    line = sys.stdin.readline()
    if not line:
        return 0  # the watcher is gone
    asked = json.loads(line)
    name, champion_gone = str(asked["name"]), bool(asked["champion_gone"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:  # whoever only looks whether somebody is at work holds the lock for a moment
        with look.alone(project, name) as ours:
            if ours:
                carry_out(project, name, champion_gone=champion_gone)
                return 0
        time.sleep(0.05)
    return 0  # another process is at it


def carry_out(project: Project, name: str, *, champion_gone: bool) -> None:
    """One release after the other until production is what the registry asks for.

    Args:
        champion_gone: nothing was champion for longer than the grace period: the service is to stop.

    Raises:
        StackError: the servers are not well, or the releases do not come to an end.
    """
    from components.registry.api import Api
    from flows import reconcile, stack
    from flows.release import look
    from flows.release.flow import release

    endpoints = stack.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not well", next_step="`modelyard status`")
    reconcile.crashed(project, endpoints.prefect_api)
    with Api(endpoints.mlflow) as api:
        for _ in range(MOST_ROUNDS):
            todo = look.to_do(api, project, name)
            if todo is None or (todo.withdraws and not champion_gone):
                return
            print(f"{name}: {todo.reason}", flush=True)
            release(name, todo.role, todo.broken)
    raise StackError(f"production of {name} does not come to rest", next_step=f"`modelyard history {name}`")


if __name__ == "__main__":
    sys.exit(main())
