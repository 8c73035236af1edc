"""`python -m flows.releases.worker`: imports what a release needs, waits for orders, and carries them out.

The controller keeps one waiting: importing Prefect takes seconds, which nobody shall wait for who has set an alias.
A line in is an `Order` as JSON, a line out an `Ending`; log lines go to stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Literal, TextIO

from components.core import priority
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from components.core.strict import Strict
from components.release.ledger import Role
from flows.platform import environment

PATIENCE_SECONDS = 2.0
NICENESS = 5  # judging and building get a third of the processor time of what serves, where that has none to spare


class Order(Strict):
    """One step for a worker."""

    name: str
    role: Role
    step: Literal["release", "withdraw", "tell"]
    broken: str | None = None


class Ending(Strict):
    """How a step ended. A refusal by a gate is no failure.

    Args:
        failure: the error that stopped it; None where there was none.
        refused: whether the version was refused.
    """

    failure: str | None = None
    refused: bool = False


def main() -> None:
    """Until the controller is gone, carry out what it orders."""
    from flows.releases import preemption

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not be taken for an answer
    environment.quiet(os.environ)
    priority.lower(NICENESS)
    preemption.install()
    project = Project.find()
    from flows.pipelines import prewarm
    from flows.releases import flow as _imported_early  # noqa: F401

    with prewarm.prewarmed([prewarm.RELEASE], project.root):
        _carry_out_orders(project, answers)


def _carry_out_orders(project: Project, answers: TextIO) -> None:
    from flows.serving_targets import host_connections

    for line in sys.stdin:
        try:
            ending = release(project, Order.model_validate_json(line))
        except ModelyardError as error:
            print("\n".join(error.lines()), file=sys.stderr, flush=True)
            ending = Ending(failure=f"{error.what}: {error.got}" if error.got is not None else error.what)
        try:
            answers.write(ending.model_dump_json() + "\n")
            answers.flush()
        except BrokenPipeError:  # the controller has ended; its successor reads the ledger
            with contextlib.suppress(BrokenPipeError):
                answers.close()
            return
        host_connections.close_all()  # a process that waits for the next order holds no session


def release(project: Project, order: Order) -> Ending:
    """Carry out an order, unless another process is at work on the model."""
    from flows.releases import observation

    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:  # who only looks whether somebody is at work holds the lock for a moment
        with observation.alone(project, order.name) as ours:
            if ours:
                return _run(project, order)
        time.sleep(0.05)
    return Ending()


def _run(project: Project, order: Order) -> Ending:
    """One run of the flow `release`.

    Raises:
        StackError: the servers are not well.
    """
    from flows.platform import crashed_runs, lifecycle
    from flows.releases.flow import REFUSED
    from flows.releases.flow import release as flow

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not well", next_step="`modelyard status`")
    crashed_runs.mark_crashed(project, endpoints.prefect_api)
    state = flow(order.name, order.role, order.step, order.broken, return_state=True)
    if state.name == REFUSED:
        return Ending(refused=True)
    state.result()
    return Ending()


if __name__ == "__main__":
    main()
