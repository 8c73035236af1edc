"""A model's service: what it is ordered to hold, what it says it holds, and starting and stopping it."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
from pydantic import ValidationError

from components.access import project_door
from components.access.secret import SECRET_FILE, Credentials
from components.contracts.serving_spec import (
    SERVICE_FOLDER,
    SLOT_NAMES,
    SPEC_FILE,
    VERSION_HEADER,
    WORKER_HEADER,
    ServiceStatus,
    ServingSpec,
    SlotSpec,
    WorkerStatus,
)
from components.core.errors import ServingError, StackError
from components.core.project import Project
from components.identity.package import GoldenExample, Package
from components.inference.difference import difference
from components.packaging.bundle import Bundle
from flows.platform import connections, services

READY_SECONDS = 120.0
HANDOVER = "MODELYARD_HANDOVER"  # as in serving/start.py
CONVERGE_SECONDS = 60.0
PROVE_SECONDS = 30.0
MOST_CONNECTIONS = 32


@dataclass(frozen=True)
class Service:
    """One model's service in the stack of a project."""

    project: Project
    name: str

    @cached_property
    def folder(self) -> Path:
        """Where its order lies."""
        return self.project.service(self.name)

    @cached_property
    def _credentials(self) -> Credentials | None:
        return connections.credentials(self.project)

    @property
    def url(self) -> str | None:
        """Where it answers; None if the stack does not run it."""
        return services.service_url(self.project, self.name)

    def statement(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What its processes say they hold; None if it does not answer, or another server answers in its place."""
        url = self.url
        if url is None:
            return None
        try:
            with connections.client(self._credentials, url, timeout=timeout_seconds) as client:
                answer = client.get("/status")
            said = ServiceStatus.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError):
            return None
        return said if answer.is_success and said.model == self.name else None

    def order(self) -> ServingSpec:
        """The spec applied last; an empty one before the first.

        Raises:
            UnreadableSpecError: the file is there and cannot be read.
        """
        return ServingSpec.load(self.folder) or ServingSpec(generation=0)

    def give(self, **slots: SlotSpec | None) -> ServingSpec:
        """Change slots of the order; the same again is no new order."""
        return ServingSpec.apply(self.folder, {name: slots[name] for name in SLOT_NAMES if name in slots})

    def repeat(self) -> ServingSpec:
        """Give the same order again, so that workers which could not carry it out try again."""
        return ServingSpec.apply(self.folder, {}, repeat=True)

    def wait(
        self, holds: Callable[[WorkerStatus], bool], what: str, timeout_seconds: float = CONVERGE_SECONDS
    ) -> ServiceStatus:
        """Wait until every worker says so.

        Raises:
            ServingError: not within the time; holds what the workers say instead.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            said = self.statement()
            if said is not None and len(said.workers) >= said.expected and all(map(holds, said.workers)):
                return said
            if time.monotonic() > deadline:
                raise ServingError(
                    f"the service does not {what}",
                    where=self.url or self.name,
                    got=said.model_dump_json() if said else "no answer",
                    next_step="`modelyard status`; its log says more",
                )
            time.sleep(0.05)

    def start(self, bundle: Bundle, port: int | None = None) -> str:
        """Have the stack run the service from a bundle; one that runs from this bundle is left alone.

        Returns:
            Its URL, once it answers.
        """
        inside = self.folder.relative_to(self.project.root)
        variables = {
            "PYTHONDONTWRITEBYTECODE": "1",
            # BentoML keeps its metrics in its home and empties them at start: each service has a home of its own.
            "BENTOML_HOME": str(self.folder / "bentoml"),
            SERVICE_FOLDER: str(self.folder),
            # Relative to the project's folder, in which the service runs: the path of a Unix socket must be short.
            HANDOVER: str(inside / "handover"),
            SECRET_FILE: str(project_door.secret_file(self.project)),
        }
        words = command(bundle, "{port}")
        return services.serve(
            self.project,
            self.name,
            words,
            variables,
            port,
            hands_over_to=str(inside / "workers"),
            timeout_seconds=READY_SECONDS,
        )

    def stop(self) -> None:
        """Let it answer what it is answering, then end it; its order goes with it."""
        services.stop_serving(self.project, self.name)
        (self.folder / SPEC_FILE).unlink(missing_ok=True)

    def is_coming_up(self) -> bool:
        """Whether the stack has it and does not call it failed; it may not answer yet."""
        try:
            return services.service_state(self.project, self.name) in ("STARTING", "RUNNING", "BACKOFF")
        except (OSError, StackError):
            return False

    def prove(self, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker for the golden examples of a package that it holds.

        Returns:
            The largest difference of an answer from the training process's own.

        Raises:
            ServingError: an answer fails, differs by more than the tolerance, or comes from another package.
            StackError: a worker was not reached; names the workers that were not.
        """
        golden = package.golden()
        answers: dict[str, dict[str, float]] = defaultdict(dict)
        count = 2 * max(1, workers)
        deadline = time.monotonic() + PROVE_SECONDS
        while True:
            said = self.statement()
            stated = {str(worker.worker) for worker in said.workers} if said else set()
            unreached = {worker for worker in stated if len(answers[worker]) < len(golden)}
            if said is not None and len(stated) >= workers and not unreached:
                return max(difference for worker in stated for difference in answers[worker].values())
            if time.monotonic() > deadline:
                raise StackError(
                    "not every worker of the service could be asked for the golden examples",
                    where=self.url or self.name,
                    got=f"not reached: {_unreached(unreached, workers - len(stated))}",
                    expected=f"answers of {workers} workers",
                    next_step="`modelyard status`; the service's log says more",
                )
            with ExitStack() as during:
                for worker, client in _connected(during, self._credentials, self.url or "", count).items():
                    if worker in unreached or worker not in stated:
                        with suppress(httpx.TransportError):  # this worker has ended; the next round says it
                            self._prove_worker(client, package, tolerance, answers)
            count = min(MOST_CONNECTIONS, 2 * count)
            time.sleep(0.05)

    def _prove_worker(
        self, client: httpx.Client, package: Package, tolerance: float, answers: dict[str, dict[str, float]]
    ) -> None:
        """Ask through one connection for all golden examples; note the differences by the worker that answered."""
        for example in package.golden():
            response = self._ask(client, package, example)
            worker = response.headers.get(WORKER_HEADER, "")
            found = difference(example.answer, response.json()["predictions"][0])
            if not found <= tolerance:
                raise ServingError(
                    "the service answers otherwise than the training did",
                    where=f"version {package.facts.pipeline} {package.digest[:12]}, worker {worker}",
                    got=f"an answer off by {found:.6f}",
                    expected=f"at most {tolerance}",
                )
            answers[worker][example.file] = found

    def _ask(self, client: httpx.Client, package: Package, example: GoldenExample) -> httpx.Response:
        response = client.post(
            "/predict",
            content=(package.folder / "golden" / example.file).read_bytes(),
            headers={"content-type": example.media, VERSION_HEADER: package.digest},
        )
        answered_by = response.headers.get("X-Modelyard-Package")
        if not response.is_success or answered_by != package.digest:
            raise ServingError(
                "the service does not answer a golden example",
                where=f"{self.url}, golden/{example.file}",
                got=f"HTTP {response.status_code} of package {answered_by}: {response.text[:300]}",
                expected=f"HTTP 200 of package {package.digest}",
            )
        return response


def _connected(during: ExitStack, known: Credentials | None, url: str, count: int) -> dict[str, httpx.Client]:
    """Open several connections at once, so that a worker that is idle takes one while another is busy with its own.

    Returns:
        One open connection to each worker that took any; a kept connection stays with its worker.
    """
    begin = threading.Barrier(count)

    def connect() -> tuple[str, httpx.Client]:
        client = connections.client(known, url, timeout=60)
        begin.wait()
        try:
            return client.get("/model", timeout=10).headers.get(WORKER_HEADER, ""), client
        except httpx.HTTPError:
            return "", client

    with ThreadPoolExecutor(count) as threads:
        found = [future.result() for future in [threads.submit(connect) for _ in range(count)]]
    for _, client in found:
        during.callback(client.close)
    return {worker: client for worker, client in found if worker}


def _unreached(workers: set[str], missing: int) -> str:
    """The workers that were not reached, in words; `missing` of them say nothing of themselves."""
    named = [f"worker {worker}" for worker in sorted(workers)]
    return ", ".join([*named, *([f"{missing} that cannot be seen at /status"] if missing > 0 else [])])


def command(bundle: Bundle, port: str) -> list[str]:
    """How a bundle is served, on loopback.

    The file is run, not the module: the package `serving` of this tree would take the place of the bundle's own.
    """
    start = str(start_file())
    return [sys.executable, "-P", start, str(bundle.folder), "--host", "127.0.0.1", "--port", port]


def start_file() -> Path:
    """The program that serves a bundle."""
    return Path(__file__).resolve().parents[2] / "serving" / "start.py"
