"""A serving target on this machine: BentoML's process group for one model, run by the platform's supervisor.

The spec is `spec.json` in the service's folder, which every worker follows. The status is what the workers report over
HTTP. See `flows/serving_targets/serving_target.py` for what a target must do.
"""

from __future__ import annotations

import http.client
import json
import os
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

from components.access import http_client, project_door
from components.access.api_keys import API_KEYS
from components.access.secret import SECRET_FILE, Credentials
from components.contracts import prediction_log, serving_spec
from components.contracts.serving_lease import LEASE_FILE
from components.contracts.serving_spec import (
    SERVICE_FOLDER,
    SPEC_FILE,
    VERSION_HEADER,
    WORKER_HEADER,
    ChallengerSpec,
    RolloutPolicy,
    ServiceStatus,
    ServingSpec,
    SlotSpec,
    UnreadableSpecError,
    WorkerStatus,
)
from components.core.errors import CorruptArtifactError, NotFoundError, ServingError, StackError
from components.core.project import Project
from components.identity.package import GoldenExample, Package
from components.inference.difference import difference
from components.packaging.bundle import START, Bundle
from components.release.production import Pin, Production
from flows.platform import connections, health, services
from flows.platform.ports import LOOPBACK
from flows.serving_targets.serving_target import ServiceState

READY_SECONDS = 120.0
HANDOVER = "MODELYARD_HANDOVER"  # as in serving/start.py
NAMES = "MODELYARD_SERVICE_NAMES"  # as in serving/door.py
CONVERGE_SECONDS = 60.0
PROVE_SECONDS = 30.0
MOST_CONNECTIONS = 32


@dataclass
class _Remembered:
    """What a target read and computed last, for who looks at it again and again.

    Args:
        stamp: of the file that `spec` was read from.
        due: the slots that `production` asks for.
        generation: of the spec that this target wrote last.
    """

    stamp: tuple[int, int, int] | None = None
    spec: ServingSpec | None = None
    production: Production | None = None
    due: ServingSpec | None = None
    generation: int = 0


@dataclass(frozen=True)
class LocalServingTarget:
    """One model's service in a project's platform.

    Args:
        listen: the address on which it listens. It is asked over loopback too.
        address: by which other machines reach it; None: none do.
    """

    project: Project
    name: str
    listen: str = LOOPBACK
    address: str | None = None

    @cached_property
    def folder(self) -> Path:
        """The service's folder, with its spec."""
        return self.project.service(self.name)

    @cached_property
    def _remembered(self) -> _Remembered:
        return _Remembered()

    @cached_property
    def _credentials(self) -> Credentials | None:
        return connections.credentials(self.project)

    @property
    def url(self) -> str | None:
        """Where the service answers; None if the platform does not run it."""
        return services.service_url(self.project, self.name)

    def ready_url(self) -> str | None:
        """Where the service answers requests now; None if it is not ready, or another server has its port."""
        url = self.url
        port = 0 if url is None else int(url.rpartition(":")[2])
        is_ready = port and health.is_ready(port, services.READY) and health.is_ours(self.project, port)
        return url if is_ready else None

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What the workers report; None if the service does not answer, or another server answers on its port."""
        url = self.url
        if url is None:
            return None
        try:
            code, body = http_client.get_here(self._credentials, url, "/status", timeout_seconds)
            status = ServiceStatus.model_validate_json(body)
        except (OSError, http.client.HTTPException, ValidationError):
            return None
        return status if code == http.HTTPStatus.OK and status.model == self.name else None

    def state(self) -> ServiceState:
        """Whether the platform runs the service's processes. They may not answer yet."""
        if self.url is None:
            return "stopped"
        try:
            known = services.service_state(self.project, self.name)
        except (OSError, StackError):
            return "stopped"
        return "running" if known == "RUNNING" else "starting" if known in ("STARTING", "BACKOFF") else "stopped"

    def spec(self) -> ServingSpec | None:
        """The spec that was applied last; None before the first.

        Raises:
            UnreadableSpecError: the file cannot be read.
        """
        remembered = self._remembered
        try:
            about = (self.folder / SPEC_FILE).stat()
        except OSError:
            return ServingSpec.load(self.folder)
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)  # each spec is a new file
        if remembered.stamp != stamp:
            remembered.spec, remembered.stamp = ServingSpec.load(self.folder), stamp
        return remembered.spec

    def age_seconds(self) -> float | None:
        """How long ago the spec was written; None where there is none."""
        try:
            return max(0.0, time.time() - (self.folder / SPEC_FILE).stat().st_mtime)
        except FileNotFoundError:
            return None

    def check_rollout(self, pin: Pin, policy: RolloutPolicy | None) -> None:
        """Everything that a release asks for can be served."""

    def apply(self, production: Production, decision: int, *, staged: Pin | None = None) -> ServingSpec:
        """Write the spec: what production is made of, and a version to load beside it.

        Args:
            decision: number of the ledger's entry that decided on this production.

        Raises:
            OvertakenError: the present spec carries out a later decision.
        """
        spec = self._spec(production, decision, staged)
        try:
            written = spec.write(self.folder)
        except UnreadableSpecError:  # what was in it is known: the ledger pins it
            serving_spec.set_aside(self.folder)
            written = spec.write(self.folder)
        self._remembered.generation = written.generation
        return written

    def bring(self, pin: Pin) -> None:
        """It is here, and verified before each release."""

    def is_applied(self, production: Production) -> bool:
        """Whether the present spec names this production."""
        try:
            present = self.spec()
        except UnreadableSpecError:
            return False
        if present is None:
            return production == Production()
        if self._remembered.production is not production:
            self._remembered.production, self._remembered.due = production, self._spec(production, 0, None)
        due = self._remembered.due
        return all(getattr(present, role) == getattr(due, role) for role in ("champion", "previous", "challenger"))

    def wait(
        self, holds: Callable[[WorkerStatus], bool], what: str, timeout_seconds: float = CONVERGE_SECONDS
    ) -> ServiceStatus:
        """Wait until every worker reports it.

        Args:
            what: the state that is waited for, as in "the workers did not <what> within 60 s".

        Raises:
            ServingError: not within the time; holds what the workers report instead.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            status = self.status()
            least = self._remembered.generation  # what a worker reported under a spec of before is of before
            if (
                status is not None
                and len(status.workers) >= status.expected
                and all(worker.generation >= least and holds(worker) for worker in status.workers)
            ):
                return status
            if time.monotonic() > deadline:
                raise ServingError(
                    f"the workers did not {what} within {timeout_seconds:.0f} s",
                    where=self.url or self.name,
                    got=status.model_dump_json() if status else "no answer",
                    next_step="`modelyard status`; the service's log says more",
                )
            time.sleep(0.03)

    def start(self, bundle: Bundle) -> str:
        """Run the service's processes from a bundle; processes that run from this bundle are left alone.

        Processes of another bundle are replaced without a pause: the new ones start beside them, and take over.

        Returns:
            The service's URL, once it answers.

        Raises:
            NotFoundError: the bundle is not there.
            StackError: the platform does not run, or the service does not become ready; what ran before goes on.
        """
        if not bundle.exists():
            raise NotFoundError(
                f"the bundle {bundle.tag} is not there",
                where=str(bundle.folder),
                next_step=f"`modelyard promote {self.name} VERSION` builds it anew, through the gates",
            )
        bundle.require_spec_format()
        inside = self.folder.relative_to(self.project.root)
        variables = {
            "PYTHONDONTWRITEBYTECODE": "1",
            # BentoML keeps its metrics in its home and empties them at start: each service has a home of its own.
            "BENTOML_HOME": str(self.folder / "bentoml"),
            SERVICE_FOLDER: str(self.folder),
            # Relative to the project's folder, in which the service runs: the path of a Unix socket must be short.
            HANDOVER: str(inside / "handover"),
            SECRET_FILE: str(project_door.secret_file(self.project)),
            API_KEYS: str(project_door.api_keys_file(self.project, self.name)),
            prediction_log.FOLDER: str(self.project.predictions(self.name) / prediction_log.OPEN),
            **({NAMES: self.address} if self.address is not None else {}),
        }
        return services.serve(
            self.project,
            self.name,
            command(bundle, "{port}", self.listen),
            variables,
            hands_over_to=str(inside / "workers"),
            workers=int(json.loads((bundle.source / "serving.json").read_bytes())["workers"]),
            timeout_seconds=READY_SECONDS,
        )

    def stop(self) -> None:
        """Let the service answer what it is answering, then end it; its spec and its lease go with it."""
        services.stop_serving(self.project, self.name)
        for name in (SPEC_FILE, LEASE_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def move(self, port: int) -> None:
        """Listen on this port from the next start on; a service on another port is stopped.

        Raises:
            StackError: the platform does not run, or the port is taken.
        """
        services.move_service(self.project, self.name, port)

    def bundle(self, pin: Pin) -> Bundle:
        """The bundle that a pin names.

        Raises:
            CorruptArtifactError: the pin names no bundle that Modelyard builds.
        """
        model, _, digits = pin.bundle.partition(":")
        if model != self.name or not digits or not set(digits) <= set("0123456789abcdef-"):
            raise CorruptArtifactError(
                "the ledger pins something that is no bundle of this model", where=self.name, got=pin.bundle
            )
        return Bundle(self.project.bundles, self.name, digits)

    def slot(self, pin: Pin) -> SlotSpec:
        """The slot that holds a pinned bundle."""
        return SlotSpec(
            version=pin.version,
            package_digest=pin.package_digest,
            bundle=os.path.relpath(self.bundle(pin).source.resolve(), self.folder.resolve()),
            tolerance=pin.tolerance,
        )

    def _spec(self, production: Production, decision: int, staged: Pin | None) -> ServingSpec:
        beside = production.challenger
        return ServingSpec(
            generation=int(time.time()),  # a service that is started anew has left no spec
            decision=decision,
            champion=self.slot(production.champion) if production.champion else None,
            previous=self.slot(production.previous) if production.previous else None,
            challenger=ChallengerSpec(**self.slot(beside).model_dump(), policy=production.policy)
            if beside is not None and production.policy is not None
            else None,
            staged=self.slot(staged) if staged is not None else None,
        )

    def check_golden_examples(self, package: Package, tolerance: float, workers: int) -> float:
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
            said = self.status()
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


def command(bundle: Bundle, port: str, listen: str = LOOPBACK) -> list[str]:
    """How a bundle is served by the program that the bundle brings.

    The file is run, not the module: the package `serving` of this tree would take the place of the bundle's own.
    """
    start = bundle.source.joinpath(*START.split(".")).with_suffix(".py")
    return [sys.executable, "-P", str(start), str(bundle.folder), "--host", listen, "--port", port]
