"""The hosts that serve, one by one: whether each answers, and what its services do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from components.contracts import settings
from components.contracts.serving_spec import SlotStatus
from components.core.errors import ModelyardError
from components.core.project import Project
from flows.platform.diagnostics import Finding
from flows.serving_targets import host_connections, hosts_placement
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_protocol import ModelObservation
from flows.serving_targets.host_session import HostAbsentError, OtherVersionError


@dataclass(frozen=True)
class HostedService:
    """One model on one host.

    Args:
        state: `ready`, `starting`, `stopped`; `mixed`: its workers hold several versions; `lease over`: it waits for
            news of what is in force.
        version: of the champion; None: there is none, or several.
        workers: how many answer; `expected`: of how many.
        note: the last line of its log, if it does not answer.
        lease_seconds: how long it answers without news of what is in force; None: for good.
    """

    model: str
    state: str
    version: str | None
    workers: int
    expected: int
    url: str | None
    note: str = ""
    lease_seconds: float | None = None


@dataclass(frozen=True)
class Host:
    """One host.

    Args:
        place: where its folder is.
        problem: why it does not answer; empty if it does.
        models: that it is to serve; None: all.
    """

    name: str
    place: str
    problem: str = ""
    services: tuple[HostedService, ...] = field(default=())
    models: tuple[str, ...] | None = None


def report(project: Project) -> tuple[Host, ...]:
    """All hosts that `modelyard.toml` names.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    connections = host_connections.connections(project)
    if not connections:
        return ()
    named = settings.read(project.root).hosts
    with ThreadPoolExecutor(len(connections)) as threads:
        found = threads.map(_host, connections)
        return tuple(replace(host, models=named[host.name].models) for host in found if host.name in named)


def finding(project: Project) -> Finding:
    """The check of `modelyard doctor`."""
    if misplaced := hosts_placement.problems(project):
        return Finding("hosts", "fail", "; ".join(map(str, misplaced)), "correct `models` in modelyard.toml")
    hosts = report(project)
    if not hosts:
        is_cluster = settings.read(project.root).kubernetes is not None
        return Finding("hosts", "ok", "the cluster serves" if is_cluster else "this machine serves")
    serving = settings.read(project.root).serving
    absent = [f"{host.name}: {host.problem}" for host in hosts if host.problem]
    if absent:
        what_to_do = "releases wait for them; `[serving] absent_hosts` allows some"
        return Finding("hosts", "fail" if len(absent) > serving.absent_hosts else "warn", "; ".join(absent), what_to_do)
    over = [f"{one.model} on {host.name}" for host in hosts for one in host.services if one.state == "lease over"]
    if over:
        what_to_do = "a controller that leads renews it within seconds: `modelyard status` shows whether one runs"
        return Finding("hosts", "fail", f"no lease any more, so requests are refused: {', '.join(over)}", what_to_do)
    bare = [
        f"{one.model} on {host.name}"
        for host in hosts
        for one in host.services
        if one.workers and not one.lease_seconds
    ]
    if serving.lease_seconds is not None and bare:
        what_to_do = (
            "a controller grants leases; bundles of before leases know none: `modelyard run PIPELINE --force bundle`"
        )
        return Finding("hosts", "warn", f"without a lease: {', '.join(bare)}", what_to_do)
    return Finding("hosts", "ok", f"{len(hosts)} answer: {', '.join(host.name for host in hosts)}")


def _host(connection: HostConnection) -> Host:
    try:
        observed = connection.observe().models
    except OtherVersionError as error:
        return Host(connection.name, connection.place, f"{error.what}; {error.got}")
    except HostAbsentError as error:
        return Host(connection.name, connection.place, str(error.got or error.what))
    except ModelyardError as error:
        return Host(connection.name, connection.place, "; ".join(filter(None, (error.what, error.got))))
    services = tuple(_service(connection, model, one) for model, one in sorted(observed.items()))
    return Host(connection.name, connection.place, services=services)


def _service(connection: HostConnection, model: str, observation: ModelObservation) -> HostedService:
    url = None if observation.port is None else connection.url(observation.port)
    if observation.status is None:
        is_stopped = observation.state == "stopped"  # else its processes run, and do not answer yet
        return HostedService(model, "stopped" if is_stopped else "starting", None, 0, 0, url, observation.note)
    champions = {_version(worker.champion) for worker in observation.status.workers}
    version = champions.pop() if len(champions) == 1 else None
    whole = len(observation.status.workers) >= observation.status.expected
    state = "mixed" if champions else "ready" if version is not None and whole else "starting"
    if any(worker.lease_is_over for worker in observation.status.workers):
        state = "lease over"
    leases = {worker.lease_seconds for worker in observation.status.workers}
    return HostedService(
        model,
        state,
        version,
        len(observation.status.workers),
        observation.status.expected,
        url,
        lease_seconds=leases.pop() if len(leases) == 1 else None,
    )


def _version(slot: SlotStatus | None) -> str | None:
    return slot.version if slot is not None and slot.state == "ready" else None
