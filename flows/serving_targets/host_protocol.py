"""What a controller and the agent of a host say to each other; JSON, read tolerantly, as their versions may differ."""

from __future__ import annotations

from components.contracts.serving_spec import ServiceStatus, ServingSpec, Tolerant
from flows.serving_targets.serving_target import ServiceState

FORMAT = 1  # of the interface; a controller refuses a host of another one
READY_LINE = "modelyard host agent"  # and the format: the agent's first line of output


class ModelObservation(Tolerant):
    """One model on one host.

    Args:
        port: on which the service listens; None: the host does not run it.
        spec: None: there is none, or it cannot be read.
        age_seconds: since the spec was applied.
        keys: SHA-256 of the API keys' file; empty: there is none.
        note: the last line of the log of a service that is to run and does not answer.
    """

    port: int | None = None
    state: ServiceState = "stopped"
    status: ServiceStatus | None = None
    spec: ServingSpec | None = None
    age_seconds: float | None = None
    keys: str = ""
    note: str = ""
