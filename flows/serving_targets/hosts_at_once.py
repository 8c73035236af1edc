"""One step on several hosts at once, in threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from components.core.errors import ModelyardError
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_session import HostAbsentError

Answer = TypeVar("Answer")
MOST_AT_ONCE = 32
_threads = ThreadPoolExecutor(MOST_AT_ONCE, "host")


def at_once(step: Callable[[HostConnection], Answer], hosts: Iterable[HostConnection]) -> Iterator[Answer]:
    """A step on each host; the answers in the order of the hosts."""
    return _threads.map(step, hosts)


def on_each(step: Callable[[HostConnection], Answer], hosts: Sequence[HostConnection]) -> list[Answer]:
    """A step on hosts at once; those that are absent are left out.

    Raises:
        HostAbsentError: all are.
        ModelyardError: what a host raised; the other hosts have done the step.
    """

    def attempt(host: HostConnection) -> Answer | ModelyardError:
        try:
            return step(host)
        except ModelyardError as error:
            return error

    answers: Sequence[Any] = list(at_once(attempt, hosts))
    failures = [one for one in answers if isinstance(one, ModelyardError)]
    absent = [one for one in failures if isinstance(one, HostAbsentError)]
    for failure in failures:
        if failure not in absent:
            raise failure
    if answers and len(absent) == len(answers):
        raise HostAbsentError(
            f"none of the {len(answers)} hosts answers",
            where=", ".join(host.place for host in hosts),
            got="; ".join(str(one.got or one.what) for one in absent)[:500],
            next_step="`modelyard hosts`",
        )
    return [one for one in answers if not isinstance(one, ModelyardError)]
