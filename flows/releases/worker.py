"""`python -m flows.releases.worker`: imports what a release needs, waits for names of models, and releases them.

The watcher keeps one waiting: importing Prefect takes seconds, which nobody shall wait for who has set an alias.
A line in is `{"name": ..., "champion_gone": ...}`, a line out is `{"failure": ...}`, null if it ended well; words go to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time

from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from flows.platform import environment

MOST_ROUNDS = 16
PATIENCE_SECONDS = 2.0
NICENESS = 5  # judging and building get a third of the processor time of what serves, where that has none to spare


def main() -> None:
    """Until the watcher is gone, carry out what it asks for."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whoever prints shall not be taken for an answer
    environment.quiet(os.environ)
    os.nice(NICENESS)
    project = Project.find()
    from flows.releases import flow as _imported_early  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        failure = None
        try:
            release(project, str(asked["name"]), champion_gone=bool(asked["champion_gone"]))
        except ModelyardError as error:
            print("\n".join(error.lines()), file=sys.stderr, flush=True)
            failure = f"{error.what}: {error.got}" if error.got is not None else error.what
        answers.write(json.dumps({"failure": failure}) + "\n")
        answers.flush()


def release(project: Project, name: str, *, champion_gone: bool) -> None:
    """Carry out what is due for a model, unless another process is at it."""
    from flows.releases import observation

    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:  # whoever only looks whether somebody is at work holds the lock for a moment
        with observation.alone(project, name) as ours:
            if ours:
                carry_out(project, name, champion_gone=champion_gone)
                return
        time.sleep(0.05)


def carry_out(project: Project, name: str, *, champion_gone: bool) -> None:
    """One release after the other until production is what the registry asks for.

    Args:
        champion_gone: nothing was champion for longer than the grace period: the service is to stop.

    Raises:
        StackError: the servers are not well, or the releases do not come to an end: what was refused is due again,
            which it is where the version that serves already, or a changed setting of it, cannot be released.
    """
    from components.registry.api import Api
    from flows.platform import crashed_runs, lifecycle
    from flows.releases import observation
    from flows.releases.flow import REFUSED
    from flows.releases.flow import release as flow

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not well", next_step="`modelyard status`")
    crashed_runs.crashed(project, endpoints.prefect_api)
    refused = None
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        for _ in range(MOST_ROUNDS):
            todo = observation.to_do(api, project, name)
            if todo is None or (todo.withdraws and not champion_gone):
                return
            if todo == refused:
                break
            print(f"{name}: {todo.reason}", flush=True)
            state = flow(name, todo.role, todo.withdraws, todo.broken, return_state=True)
            refused = todo if state.name == REFUSED else None
            if refused is None:  # a refusal is an end as good as any
                state.result()
    raise StackError(f"production of {name} does not come to rest", next_step=f"`modelyard history {name}`")


if __name__ == "__main__":
    main()
