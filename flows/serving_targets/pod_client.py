"""Ask the service in one pod, through the API server: its status, and its golden examples.

The API server takes the header `Authorization` for itself, so the key is sent as `X-API-Key`.
"""

from __future__ import annotations

import http
import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import ValidationError

from components.contracts.serving_spec import VERSION_HEADER, WORKER_HEADER, ServiceStatus, WorkerStatus
from components.core.errors import ServingError, StackError
from components.deployment.container import PORT
from components.identity.package import GoldenExample, Package
from components.inference.difference import difference
from flows.serving_targets.cluster_api import ClusterApi, Response

PROVE_SECONDS = 60.0
ASK_SECONDS = 30.0
KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class PodClient:
    """Asks pods with the controller's key."""

    api: ClusterApi
    key: str

    def workers(self, pod: str, model: str, timeout_seconds: float) -> list[WorkerStatus]:
        """What the workers of a pod report; [] where it does not answer.

        Raises:
            ClusterAbsentError: the API server does not answer.
        """
        answer = self.api.ask_pod(pod, PORT, "/status", {KEY_HEADER: self.key}, timeout_seconds=timeout_seconds)
        if answer.status != http.HTTPStatus.OK:
            return []
        try:
            status = ServiceStatus.model_validate_json(answer.content)
        except ValidationError:
            return []
        return status.workers if status.model == model else []

    def prove(self, pod: str, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker of a pod for the golden examples; returns the largest difference.

        Which worker answers is not ours to choose: it is asked again, by several at once, until each has answered all.

        Raises:
            ServingError: an answer fails, differs by more than the tolerance, or comes from another package.
            StackError: a worker was not reached.
        """
        golden = package.golden()
        found: dict[str, dict[str, float]] = defaultdict(dict)
        deadline = time.monotonic() + PROVE_SECONDS
        with ThreadPoolExecutor(max(1, 2 * workers)) as threads:
            while True:
                asked = [example for example in golden for _ in range(max(1, 2 * workers - 1))]
                for worker, file, off in threads.map(lambda one: self._example(pod, package, one, tolerance), asked):
                    found[worker][file] = off
                whole = [answers for answers in found.values() if len(answers) == len(golden)]
                if len(whole) >= workers:
                    return max(off for answers in found.values() for off in answers.values())
                if time.monotonic() > deadline:
                    raise StackError(
                        "not every worker of a pod could be asked for the golden examples",
                        where=f"pod {pod}, {self.api.place}",
                        got=f"{len(whole)} workers",
                        expected=f"{workers}",
                        next_step=f"`kubectl logs {pod}` says more",
                    )

    def _example(self, pod: str, package: Package, example: GoldenExample, tolerance: float) -> tuple[str, str, float]:
        headers = {KEY_HEADER: self.key, "Content-Type": example.media, VERSION_HEADER: package.digest}
        content = (package.folder / "golden" / example.file).read_bytes()
        answer = self.api.ask_pod(pod, PORT, "/predict", headers, content, timeout_seconds=ASK_SECONDS)
        found = difference(example.answer, self._prediction(pod, package, example, answer))
        if not found <= tolerance:
            raise ServingError(
                "the service answers otherwise than the training did",
                where=f"version {package.facts.pipeline} {package.digest[:12]}, pod {pod}",
                got=f"an answer off by {found:.6f}",
                expected=f"at most {tolerance}",
            )
        return answer.headers.get(WORKER_HEADER.lower(), ""), example.file, found

    def _prediction(self, pod: str, package: Package, example: GoldenExample, answer: Response) -> object:
        by = answer.headers.get("x-modelyard-package")
        if answer.status != http.HTTPStatus.OK or by != package.digest:
            raise ServingError(
                "the service does not answer a golden example",
                where=f"pod {pod}, golden/{example.file}",
                got=f"HTTP {answer.status} of package {by}: {answer.content[:300].decode(errors='replace')}",
                expected=f"HTTP 200 of package {package.digest}",
            )
        return json.loads(answer.content)["predictions"][0]
