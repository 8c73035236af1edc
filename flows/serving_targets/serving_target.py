"""The seam between releases and what serves: apply a spec, observe the status, start, stop, roll the processes.

`LocalServingTarget` (local_target.py) is the process group on this machine, `HostsServingTarget` (hosts_target.py) the
same on several hosts, `KubernetesServingTarget` (kubernetes_target.py) pods of a cluster. The controller and the steps
of a release know nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from components.contracts.serving_spec import RolloutPolicy, ServiceStatus, ServingSpec, WorkerStatus
from components.core.errors import ServingError
from components.core.project import Project
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.release.production import Pin, Production

ServiceState = Literal["running", "starting", "stopped"]


class ServingTarget(Protocol):
    """One model's service."""

    @property
    def name(self) -> str:
        """The model."""

    @property
    def url(self) -> str | None:
        """Where the service answers; None if it does not run."""

    def ready_url(self) -> str | None:
        """Where the service answers requests now; None if it is not ready."""

    def spec(self) -> ServingSpec | None:
        """The spec that was applied last; None before the first."""

    def age_seconds(self) -> float | None:
        """How long ago the spec was applied; None before the first."""

    def check_rollout(self, pin: Pin, policy: RolloutPolicy | None) -> None:
        """Refuse what this target cannot serve (`UsageError`); `policy`: of a challenger."""

    def apply(self, production: Production, decision: int, *, staged: Pin | None = None) -> ServingSpec:
        """Make this the spec; a later decision is not replaced (`serving_spec.OvertakenError`)."""

    def bring(self, pin: Pin) -> None:
        """Have the bundle of a version that is loaded where it was loaded from, as it was sealed."""

    def is_applied(self, production: Production) -> bool:
        """Whether the present spec names this production."""

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What every worker reports; None if the service does not answer."""

    def state(self) -> ServiceState:
        """Whether the service's processes run."""

    def wait(self, holds: Callable[[WorkerStatus], bool], what: str) -> ServiceStatus:
        """Wait until every worker reports it."""

    def start(self, bundle: Bundle) -> str:
        """Run the processes from a bundle; running ones of another bundle are replaced without a pause."""

    def stop(self) -> None:
        """End the processes once they have answered what they are answering."""

    def move(self, port: int) -> None:
        """Listen on this port from the next start on."""

    def bundle(self, pin: Pin) -> Bundle:
        """The bundle that a pin names."""

    def check_golden_examples(self, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker for the golden examples of a package that it holds; returns the largest difference."""


def facts_of_hosts(status: ServiceStatus) -> dict[str, Any]:
    """For the ledger: how many hosts followed, and which were absent; nothing of a service on this machine alone."""
    if status.hosts == 1 and not status.absent:
        return {}
    return {"hosts": status.hosts, **({"absent": status.absent} if status.absent else {})}


def not_served(target: ServingTarget) -> ServingError:
    """The error for a model that does not answer here: because hosts are away, or because it is not served."""
    from flows.serving_targets.hosts_target import HostsServingTarget

    absent = target.absent_hosts() if isinstance(target, HostsServingTarget) else []
    if absent:
        where = ", ".join(absent)
        return ServingError(f"no host answers for {target.name}", where=where, next_step="`modelyard hosts` says why")
    return ServingError(f"{target.name} is not served", next_step=f"`modelyard serve {target.name}`")


def target_of(project: Project, name: str) -> ServingTarget:
    """The serving target of a project's model: the hosts or the cluster that `modelyard.toml` names, else this machine.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    from components.contracts import settings
    from flows.serving_targets.hosts_target import HostsServingTarget
    from flows.serving_targets.local_target import LocalServingTarget

    local, found = LocalServingTarget(project, name), settings.read(project.root)
    if found.kubernetes is not None:
        from flows.serving_targets.kubernetes_target import KubernetesServingTarget

        return KubernetesServingTarget(local, found.kubernetes)
    return HostsServingTarget(local) if found.hosts else local
