"""The worker processes of one model in all its pods, asked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.contracts.serving_spec import ServiceStatus, WorkerStatus
from components.core.errors import StackError
from components.deployment import release_objects as objects
from components.identity.package import Package
from flows.serving_targets import cluster_observation, cluster_status
from flows.serving_targets.cluster_api import ClusterApi
from flows.serving_targets.cluster_observation import ClusterObservation, DeploymentObservation
from flows.serving_targets.pod_client import PodClient

MOST_AT_ONCE = 32
_threads = ThreadPoolExecutor(MOST_AT_ONCE, "pod")


@dataclass(frozen=True)
class PodWorkers:
    """The workers of a model.

    Args:
        key: the key by which pods are asked, read when it is needed; None: there is none.
    """

    api: ClusterApi
    model: str
    key: Callable[[], str | None]

    def status(self, observed: ClusterObservation, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What the workers of all ready pods report; None if no pod answers."""
        ready = [
            (deployment.key, pod["metadata"]["name"])
            for deployment in observed.deployments.values()
            for pod in deployment.pods
            if cluster_observation.is_ready(pod) and observed.is_answering(deployment.key, pod["metadata"]["name"])
        ]
        answers: dict[str, list[WorkerStatus]] = {}
        key = self.key() if ready else None
        if key is None:  # no pod, or the controller is to make the key anew
            return cluster_status.status(self.model, observed, answers)
        client = PodClient(self.api, key)

        def ask(place: tuple[str, str]) -> Sequence[WorkerStatus]:
            return client.workers(place[1], self.model, timeout_seconds)

        for (bundle, _), workers in zip(ready, _threads.map(ask, ready), strict=True):
            answers.setdefault(bundle, []).extend(workers)
        return cluster_status.status(self.model, observed, answers)

    def prove(self, observed: ClusterObservation, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker of every pod that has the package for its golden examples; returns the largest difference.

        Raises:
            ServingError, StackError: as `PodClient.prove`.
            StackError: not every pod is there, or there is no key by which pods are asked.
        """
        found: list[DeploymentObservation] = [
            one for one in observed.deployments.values() if one.package == package.digest
        ]
        pods = [pod["metadata"]["name"] for one in found for pod in one.pods]
        expected = sum(one.replicas for one in found)
        if not pods or len(pods) < expected:
            raise StackError(
                "not every pod is there to be asked for the golden examples",
                where=self.api.place,
                got=f"{len(pods)} pods",
                expected=f"{max(1, expected)}",
                next_step=f"`kubectl get pods --selector {objects.MODEL_LABEL}={self.model}` shows them",
            )
        if (key := self.key()) is None:
            raise StackError(
                "there is no key by which pods are asked",
                where=f"Secret {objects.controller_secret(self.model)}, {self.api.place}",
                next_step="the controller makes it anew, and tries again",
            )
        client = PodClient(self.api, key)
        return max(_threads.map(lambda pod: client.prove(pod, package, tolerance, workers), pods))
