"""What hosts were told last, by one process: what a host was away for is done once it is back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from components.contracts.serving_spec import ServiceStatus
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_at_once import Answer


@dataclass
class HostOrders:
    """The last order of one model, and the steps that followed it.

    Args:
        missed: by host, the steps that it was away for, in their order.
        generations: by host, of the spec that was written there.
    """

    missed: dict[str, list[Callable[[HostConnection], object]]] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)

    def noted(self, step: Callable[[HostConnection], Answer]) -> Callable[[HostConnection], Answer]:
        """A step that notes the hosts which are away for it."""

        def attempt(host: HostConnection) -> Answer:
            try:
                return step(host)
            except HostAbsentError:
                self.missed.setdefault(host.name, []).append(step)
                raise

        return attempt

    def catch_up(self, hosts: Iterable[HostConnection], answering: Collection[str]) -> None:
        """Do the steps that hosts were away for and that answer now.

        Raises:
            ModelyardError: what a host raises.
        """
        for host in hosts:
            steps = self.missed.pop(host.name, []) if host.name in answering else []
            for place, step in enumerate(steps):
                try:
                    step(host)
                except HostAbsentError:
                    self.missed[host.name] = steps[place:]
                    break

    def current(self, host: str, status: ServiceStatus) -> ServiceStatus:
        """A host's status without the workers that have not followed the spec yet: what they report is of before."""
        least = self.generations.get(host, 0)
        return status.model_copy(update={"workers": [one for one in status.workers if one.generation >= least]})
