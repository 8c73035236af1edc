"""Measure what the service of a bundle needs: started as a container starts it, asked for its golden examples.

A measurement is kept by the bundle's digest and the number of cores: the same bundle is measured once on a machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import ValidationError

from components.core import atomic
from components.core.errors import ServingError
from components.core.log import Log
from components.core.project import Project
from components.core.stage_process import die_with_parent
from components.deployment.service_facts import ServiceMeasurement
from components.gates import load
from components.gates.endpoint import KEPT_VARIABLES, QUIET
from components.identity.package import Package
from components.packaging.bundle import Bundle
from flows.platform import health, ports
from flows.serving_targets import local_target

CONNECTIONS = 8
LOAD_SECONDS = 4.0
WARM_UP_SECONDS = 0.5
READY_SECONDS = 120.0
END_SECONDS = 15.0
SAMPLE_SECONDS = 0.1
FIRST_PORT = 23000
TAIL_LINES = 12


def of_bundle(project: Project, bundle: Bundle, log: Log) -> ServiceMeasurement:
    """The kept measurement of a bundle on this machine, or a new one, which takes seconds.

    Raises:
        NotFoundError, CorruptArtifactError: the bundle is not whole.
        ServingError: the service does not start, or answers none of its golden examples.
    """
    cores = _cores()
    path = project.state / "cache" / f"service-measurement-{bundle.verify().digest[:16]}-{cores}.json"
    with contextlib.suppress(OSError, ValidationError):
        return ServiceMeasurement.model_validate_json(path.read_bytes())
    log(f"measuring the service of {bundle.tag}: start, memory, {LOAD_SECONDS:.0f} s of load")
    measurement = measure(bundle, cores)
    atomic.write_text(path, measurement.model_dump_json(indent=1) + "\n")
    return measurement


def measure(bundle: Bundle, cores: int) -> ServiceMeasurement:
    """Start the service on loopback without a spec or a secret, as elsewhere; load it; end it.

    Raises:
        ServingError: it does not start, or answers none of its golden examples.
    """
    package = Package.open(bundle.source / "package", verify=False)
    example = package.golden()[0]
    content = (package.folder / "golden" / example.file).read_bytes()
    port = ports.choose(FIRST_PORT, set())
    request = load.post("/predict", content, example.media, port)
    with _service(bundle, port) as (process, start_seconds):
        idle, _ = _usage(process)
        load.run(request, port, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
        _, before = _usage(process)
        with _peak(process) as peak:
            result = load.run(request, port, connections=CONNECTIONS, seconds=LOAD_SECONDS)
        memory, after = _usage(process)
    if not result.latencies:
        raise ServingError(
            "the service answers none of its golden examples", where=bundle.tag, got=f"{result.errors} refusals"
        )
    return ServiceMeasurement(
        cores=cores,
        start_seconds=round(start_seconds, 2),
        idle_bytes=idle,
        peak_bytes=max(idle, memory, *peak),
        connections=CONNECTIONS,
        busy_cores=round((after - before) / result.seconds, 3),
        processor_ms=round(1000 * (after - before) / len(result.latencies), 3),
        requests_per_second=round(result.rate, 1),
        p50_ms=round(result.percentile_ms(50), 2),
        p99_ms=round(result.percentile_ms(99), 2),
        errors=result.errors,
    )


@contextmanager
def _service(bundle: Bundle, port: int) -> Iterator[tuple[psutil.Process, float]]:
    """The running service, and how long it took to become ready."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-measure-"))
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {**QUIET, "HOME": str(folder), "BENTOML_HOME": str(folder), "TMPDIR": str(folder)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    begin = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            local_target.command(bundle, str(port)),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        while not health.is_ready(port, "/readyz"):
            if process.poll() is not None or time.monotonic() - begin > READY_SECONDS:
                lines = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
                raise ServingError(
                    "the service did not become ready", where=bundle.tag, got="\n".join(lines[-TAIL_LINES:])
                )
            time.sleep(0.02)
        yield psutil.Process(process.pid), time.monotonic() - begin
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = _tree(psutil.Process(process.pid)) if process.poll() is None else []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    for one in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


@contextmanager
def _peak(process: psutil.Process) -> Iterator[list[int]]:
    """Memory of the service in bytes, sampled while the block runs."""
    samples: list[int] = []
    end = threading.Event()

    def sample() -> None:
        while not end.wait(SAMPLE_SECONDS):
            samples.append(_usage(process)[0])

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        end.set()
        thread.join()


def _usage(process: psutil.Process) -> tuple[int, float]:
    """Memory in bytes and processor time in seconds of a process and its children."""
    memory, seconds = 0, 0.0
    for one in _tree(process):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = one.cpu_times()
            seconds += times.user + times.system
            full = one.memory_full_info()
            memory += getattr(full, "pss", full.rss)
    return memory, seconds


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
