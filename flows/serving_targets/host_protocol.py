"""What a controller and the agent of a host say to each other; JSON, read tolerantly, as their versions may differ."""

from __future__ import annotations

from pydantic import Field

from components.contracts.serving_spec import ServiceStatus, ServingSpec, Tolerant
from flows.serving_targets.serving_target import ServiceState

FORMAT = 2  # of the interface; a controller refuses a host of another one
READY_LINE = "modelyard host agent"  # and the format: the agent's first line of output


class ModelObservation(Tolerant):
    """One model on one host.

    Args:
        port: on which the service listens; None: the host does not run it.
        spec: None: there is none, or it cannot be read.
        age_seconds: since the spec was applied.
        keys: SHA-256 of the API keys' file; empty: there is none.
        lease_seconds: of the lease in the service's folder, whether it runs or not; None: there is none.
        note: the last line of the log of a service that is to run and does not answer.
    """

    port: int | None = None
    state: ServiceState = "stopped"
    status: ServiceStatus | None = None
    spec: ServingSpec | None = None
    age_seconds: float | None = None
    keys: str = ""
    lease_seconds: float | None = None
    note: str = ""


class HostObservation(Tolerant):
    """One host.

    Args:
        boot: the start of the machine.
        clock_seconds: of the machine, read before anything else of the observation (serving_lease.py).
        models: by their names.
    """

    boot: str = ""
    clock_seconds: float = 0.0
    models: dict[str, ModelObservation] = Field(default_factory=dict)


class Grant(Tolerant):
    """The leases that a controller grants a host.

    Args:
        boot, since: of the observation that the grant is made from.
        seconds: by model; None: its service answers without a lease from now on.
        refuses: as in `serving_lease.Lease`.
    """

    boot: str
    since: float
    seconds: dict[str, float | None]
    refuses: bool = True
