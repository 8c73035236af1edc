"""Which serving settings a machine is best served with, from what was measured on it: pure."""

from __future__ import annotations

from collections.abc import Sequence

from components.core.strict import Strict

NEAR = 0.95  # a rate of at least this share of the best is as good: a measurement is not more exact
SCHEMA = 1  # of the file of a measurement


class GraphSpeed(Strict):
    """The graphs alone, in one call, without the service.

    Args:
        threads: onnxruntime's.
        samples: in the call.
        milliseconds: median of a call, with the task's postprocessing.
    """

    threads: int
    samples: int
    milliseconds: float

    @property
    def rate(self) -> float:
        """Samples a second."""
        return 1000 * self.samples / self.milliseconds


class ServiceSpeed(Strict):
    """The service under load, with a load generator on the same machine.

    Args:
        workers, threads: its settings.
        rate: requests of one sample a second, answered with 200.
        p50_ms, p99_ms: latencies under this load.
        lone_ms: median latency of one request at a time.
        errors: requests with another status.
        memory_mb: resident memory of all workers after the load.
    """

    workers: int
    threads: int
    rate: float
    p50_ms: float
    p99_ms: float
    lone_ms: float
    errors: int
    memory_mb: float


class ServingChoice(Strict):
    """The recommended settings; `reasons` has a sentence for each.

    Args:
        batch_size: None: the task's requests are not batched.
    """

    workers: int
    threads: int
    batch_size: int | None
    reasons: list[str]


class ServingMeasurement(Strict):
    """What was measured for one bundle on one machine.

    Args:
        package_digest, code: of the bundle: its package and its service.
        cores, processor: of the machine; cores that this process may use.
        day, seconds: of the measurement, and how long it was to take.
        connections: of the load.
    """

    schema_version: int = SCHEMA
    package_digest: str
    code: str
    cores: int
    processor: str
    day: str
    seconds: float
    connections: int
    graphs: list[GraphSpeed]
    services: list[ServiceSpeed]


def combinations(cores: int) -> list[tuple[int, int]]:
    """Workers and threads to measure: powers of two and the number of cores, with no more threads than cores."""
    numbers = sorted({1, cores, *(1 << power for power in range(cores.bit_length()) if 1 << power <= cores)})
    return [(workers, threads) for workers in numbers for threads in numbers if workers * threads <= cores]


def choose(measurement: ServingMeasurement, max_batch_size: int) -> ServingChoice:
    """Workers and threads of the highest rate, and the smallest batch whose rate is near the highest.

    Of rates that are nearly equal, the one with the fewest processes wins (each has its own copy of the model), then
    the one with the fastest lone request. Settings under which requests failed are left out, if any are without.

    Args:
        max_batch_size: as in the pipeline; a batch is not larger.
    """
    services = [one for one in measurement.services if not one.errors] or measurement.services
    best = max(services, key=lambda one: one.rate)
    near = [one for one in services if one.rate >= NEAR * best.rate]
    chosen = min(near, key=lambda one: (one.workers, one.lone_ms))
    reasons = [
        f"workers {chosen.workers}, threads {chosen.threads}: {chosen.rate:,.0f} requests/s, "
        + (
            "the most"
            if chosen is best
            else f"within 5 % of the most ({best.rate:,.0f} with workers {best.workers}, threads {best.threads}), "
            + ("with fewer processes" if chosen.workers < best.workers else "and a faster lone request")
        )
    ]
    size, reason = _batch_size(measurement.graphs, chosen.threads, max_batch_size)
    reasons.append(reason)
    return ServingChoice(workers=chosen.workers, threads=chosen.threads, batch_size=size, reasons=reasons)


def _batch_size(graphs: Sequence[GraphSpeed], threads: int, max_batch_size: int) -> tuple[int | None, str]:
    speeds = [one for one in graphs if one.threads == threads and one.samples <= max_batch_size]
    if len(speeds) < 2:
        return None, "batch size: requests of this task are computed one by one"
    best = max(speeds, key=lambda one: one.rate)
    chosen = min((one for one in speeds if one.rate >= NEAR * best.rate), key=lambda one: one.samples)
    alone = next(one for one in speeds if one.samples == min(one.samples for one in speeds))
    gain = chosen.rate / alone.rate
    if chosen.samples == alone.samples:
        return chosen.samples, "batch size 1: batches do not make a sample cheaper"
    return chosen.samples, (
        f"batch size {chosen.samples}: {gain:.1f} times the samples a second of one at a time; "
        "larger batches bring less than 5 % more"
    )
