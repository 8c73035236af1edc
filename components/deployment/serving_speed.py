"""Measure a bundle on this machine: its graphs alone, and its real service with different workers and threads."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from components.core.errors import ServingError
from components.deployment.serving_choice import GraphSpeed, ServiceSpeed, ServingMeasurement, combinations
from components.gates import load
from components.gates.endpoint import Endpoint, EndpointStartFailed
from components.identity import manifest
from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor
from components.packaging.bundle import Bundle

SETTINGS = "serving.json"  # of a bundle
CONNECTIONS = 32
MIN_CALLS, MAX_CALLS = 3, 1000
GRAPH_SHARE = 0.25  # of the time; the rest is for the service
WARM_UP_SECONDS = 0.3

Step = Callable[[str], None]  # called with what is measured next


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The model of the processor, as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def measure(bundle: Bundle, scratch: Path, seconds: float, step: Step, count: int | None = None) -> ServingMeasurement:
    """Measure a bundle.

    Args:
        scratch: where a temporary copy of the bundle is made.
        seconds: about how long it may take, without the starts of the service.
        count: cores to measure with; None: all of this process.

    Raises:
        ServingError: the service does not start.
    """
    count = count or cores()
    facts = manifest.load(bundle.source, "bundle").facts
    settings = json.loads((bundle.source / SETTINGS).read_bytes())
    package = Package.open(bundle.source / "package")
    pairs = combinations(count)
    threads = sorted({number for _, number in pairs})
    graphs: list[GraphSpeed] = []
    for number in threads:
        step(f"graphs with {_count(number, 'thread')}")
        graphs += _graph_speeds(package, number, settings, seconds * GRAPH_SHARE / len(threads))
    services = []
    for workers, number in pairs:
        step(f"the service with {_count(workers, 'worker')}, {_count(number, 'thread')}")
        each = seconds * (1 - GRAPH_SHARE) / len(pairs)
        services.append(_service_speed(bundle, package, scratch, workers, number, each))
    return ServingMeasurement(
        package_digest=package.digest,
        code=str(facts["code"]),
        cores=count,
        processor=processor(),
        day=datetime.now(UTC).date().isoformat(),
        seconds=seconds,
        connections=CONNECTIONS,
        graphs=graphs,
        services=services,
    )


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _graph_speeds(package: Package, threads: int, settings: dict[str, Any], seconds: float) -> list[GraphSpeed]:
    """Calls of 1, 2, 4 ... samples up to the largest request; of 1 only for a task that is not batched."""
    predictor = Predictor(
        package,
        threads=threads,
        max_pixels=settings["max_image_pixels"],
        device=settings.get("device", "auto"),
        gpu_memory_mb=settings.get("gpu_memory_mb"),
    )
    samples = [sample for example in package.golden() for sample in _samples(predictor, package, example)]
    sizes = [1]
    if predictor.endpoint.parameters is None:
        sizes = [1 << power for power in range(int(settings["max_batch_size"]).bit_length())]
    speeds = []
    for size in sizes:
        batch = [samples[place % len(samples)] for place in range(size)]
        milliseconds = _median_ms(lambda batch=batch: predictor.answer(batch), seconds / len(sizes))  # type: ignore[misc]
        speeds.append(GraphSpeed(threads=threads, samples=size, milliseconds=round(milliseconds, 4)))
    return speeds


def _samples(predictor: Predictor, package: Package, example: Any) -> Sequence[Any]:
    content = (package.folder / "golden" / example.file).read_bytes()
    return predictor.read(body.read(predictor.processor, predictor.endpoint, content, example.media).items)


def _median_ms(call: Callable[[], object], seconds: float) -> float:
    call()  # allocates memory
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and time.perf_counter() < end):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


def _service_speed(
    bundle: Bundle, package: Package, scratch: Path, workers: int, threads: int, seconds: float
) -> ServiceSpeed:
    """Load on the real service, in isolated worker processes as the gates start them.

    Raises:
        ServingError: it does not start.
    """
    example = package.golden()[0]
    content = (package.folder / "golden" / example.file).read_bytes()
    with (
        _with_settings(bundle, scratch, workers=workers, threads=threads) as bento,
        Endpoint(bento, workers, bundle.tag) as endpoint,
    ):
        try:
            endpoint.wait()
        except EndpointStartFailed as error:
            raise ServingError("the bundle does not start", where=bundle.tag, got=error) from error
        post = load.post("/predict", content, example.media, endpoint.port)
        try:
            load.run(post, endpoint.port, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
            busy = load.run(post, endpoint.port, connections=CONNECTIONS, seconds=seconds * 0.75)
            lone = load.run(post, endpoint.port, connections=1, seconds=seconds * 0.25)
        except TimeoutError as error:
            raise ServingError(
                f"{CONNECTIONS} requests at a time are not answered in time",
                where=bundle.tag,
                next_step="so slow a model gains nothing from these settings; `serving.quantize: int8` may help",
            ) from error
        memory = sum(psutil.Process(pid).memory_info().rss for pid in endpoint.pids)
    if not busy.latencies or not lone.latencies:
        raise ServingError("the bundle answers no golden example", where=bundle.tag, got=f"{busy.errors} errors")
    return ServiceSpeed(
        workers=workers,
        threads=threads,
        rate=round(busy.rate, 1),
        p50_ms=round(busy.percentile_ms(50), 3),
        p99_ms=round(busy.percentile_ms(99), 3),
        lone_ms=round(lone.percentile_ms(50), 3),
        errors=busy.errors + lone.errors,
        memory_mb=round(memory / 1e6, 1),
    )


@contextmanager
def _with_settings(bundle: Bundle, scratch: Path, **settings: int) -> Iterator[Path]:
    """A copy of the Bento with other settings; the bundle itself stays as it is sealed."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="tune-serving-") as folder:
        copy = Path(folder) / "bento"
        shutil.copytree(bundle.folder, copy, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("__pycache__"))
        place = copy / bundle.source.relative_to(bundle.folder) / SETTINGS
        place.unlink()  # the link, not the bundle's file
        manifest.write_json(place, json.loads((bundle.source / SETTINGS).read_bytes()) | settings)
        yield copy


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
