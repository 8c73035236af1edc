"""How much memory and processor time a deployment asks for, and in which words it says where the figures come from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from components.deployment.service_facts import MEBIBYTE, ServiceFacts

# Estimates for a service that was not measured: the process manager, and one worker without its model.
MANAGER_MEBIBYTES, WORKER_MEBIBYTES = 160, 220
GRAPH_COPIES = 4  # onnxruntime: the file, the graph, prepared weights, activations
BODY_COPIES = 4  # a body as received, decoded, as an array, and as a batch
REQUEST_MARGIN, LIMIT_MARGIN = 1.2, 1.5
WORKER_MILLICORES = 500  # estimated for a worker; and the least that a measurement can lead to
STARTUP_SECONDS, STARTUP_RATIO = 60, 10  # the least time to become ready; and against the measured time
REPLICA_SCALING_PERCENT = 70  # of the requested processor time


@dataclass(frozen=True)
class ServiceResources:
    """The resources of one container or unit.

    Args:
        cpu_millicores: requested processor time; there is no limit, as throttling lengthens the slowest answers most.
        startup_seconds: how long the service may take to become ready.
        notes: where the figures come from, one line each.
    """

    cpu_millicores: int
    memory_request_mebibytes: int
    memory_limit_mebibytes: int
    startup_seconds: int
    notes: tuple[str, ...]

    @property
    def cpus(self) -> str:
        """The processor time in cores, as compose writes it."""
        return f"{self.cpu_millicores / 1000:g}"


def of_service(facts: ServiceFacts) -> ServiceResources:
    """From the measurement where there is one, else from the size of the package and the number of workers."""
    measured = facts.measurement
    bodies = facts.workers * BODY_COPIES * facts.max_request_bytes / MEBIBYTE
    if measured is not None:
        peak = measured.peak_bytes / MEBIBYTE
        cpu = max(WORKER_MILLICORES * facts.workers, _up(1000 * measured.busy_cores, 100))
        startup = max(STARTUP_SECONDS, _up(STARTUP_RATIO * measured.start_seconds, 10))
        errors = f", {measured.errors} requests not answered with 200" if measured.errors else ""
        idle = measured.idle_bytes / MEBIBYTE
        notes: tuple[str, ...] = (
            f"Measured on {measured.cores} cores with {facts.workers} worker(s), {measured.connections} connections of "
            "one golden example each:",
            f"ready after {measured.start_seconds:.1f} s, {measured.requests_per_second:.0f} requests/s, p50 "
            f"{measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms{errors};",
            f"{measured.busy_cores:.2f} cores busy, {measured.processor_ms:.2f} ms of processor time an answer; "
            f"{peak:.0f} MiB at most ({idle:.0f} idle).",
        )
    else:
        peak = MANAGER_MEBIBYTES + facts.workers * (WORKER_MEBIBYTES + GRAPH_COPIES * facts.package_bytes / MEBIBYTE)
        cpu, startup = WORKER_MILLICORES * facts.workers, 2 * STARTUP_SECONDS
        notes = (
            "NOT measured; estimated from the size of the package and the number of workers. "
            "`modelyard deploy` without --no-measure measures.",
        )
    limit = _up(LIMIT_MARGIN * peak + bodies, 32)
    notes = (
        *notes,
        f"Memory: request {REQUEST_MARGIN:g} times that, limit {LIMIT_MARGIN:g} times and room for the largest bodies "
        f"({bodies:.0f} MiB).",
        f"Processor: at least {WORKER_MILLICORES / 1000:g} cores a worker; no limit, because throttling lengthens the "
        "slowest answers most.",
    )
    return ServiceResources(
        cpu_millicores=cpu,
        memory_request_mebibytes=min(limit, _up(REQUEST_MARGIN * peak, 32)),
        memory_limit_mebibytes=limit,
        startup_seconds=startup,
        notes=notes,
    )


def _up(value: float, step: int) -> int:
    """Round up to a multiple of `step`."""
    return step * math.ceil(value / step)
