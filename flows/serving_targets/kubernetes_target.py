"""A serving target in a cluster of Kubernetes: each version is a Deployment, by the digest of its image.

What production is made of stands in annotations of the object that directs the requests (a Service, or an HTTPRoute
where a Gateway is named), with the number of the ledger's decision. One conditional patch of this object is the switch:
a controller that was overtaken finds another version of it. Pods run the bundle's own service, which reads no spec.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from components.contracts.kubernetes_settings import KubernetesSettings
from components.contracts.serving_spec import (
    OvertakenError,
    RolloutPolicy,
    ServiceStatus,
    ServingSpec,
    WorkerStatus,
)
from components.core.errors import ServingError, StackError, UsageError
from components.deployment import release_objects as objects
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.release.production import Pin, Production
from flows.serving_targets import cluster_observation, cluster_status
from flows.serving_targets.cluster_api import ClusterAbsentError, ClusterApi, ConflictError, Document, connect
from flows.serving_targets.cluster_objects import ClusterObjects
from flows.serving_targets.cluster_observation import ClusterObservation, DeploymentObservation
from flows.serving_targets.cluster_traffic import TrafficState, annotations_of, key_of
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.pod_client import PodClient
from flows.serving_targets.serving_target import ServiceState

POLL_SECONDS = 0.25
LOADED_SECONDS = 300.0  # after a switch, until the autoscaler has observed the load for its whole window
ENDPOINT_SECONDS = 10.0  # after a switch, until the slices of the Service follow; then pods drain anyway
ATTEMPTS = 20  # of a conditional change, while others change the same object
MOST_AT_ONCE = 32
_threads = ThreadPoolExecutor(MOST_AT_ONCE, "pod")


@dataclass(frozen=True)
class KubernetesServingTarget:
    """One model's service in the cluster that `modelyard.toml` names.

    Args:
        local: the target on this machine, which knows the bundles; nothing is served here.
    """

    local: LocalServingTarget
    settings: KubernetesSettings

    @property
    def name(self) -> str:
        """The model."""
        return self.local.name

    @cached_property
    def api(self) -> ClusterApi:
        """The cluster.

        Raises:
            UsageError: there are no credentials, or the client is not installed.
        """
        return connect(self.settings)

    @cached_property
    def _objects(self) -> ClusterObjects:
        return ClusterObjects(self.api, self.settings, self.local)

    @cached_property
    def _pods(self) -> PodClient:
        return PodClient(self.api, self._objects.controller_key)

    @property
    def _traffic_kind(self) -> str:
        return "Service" if self.settings.gateway is None else "HTTPRoute"

    def observe(self) -> ClusterObservation:
        """What the cluster holds of the model.

        Raises:
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        return cluster_observation.observe(self.api, self.name, self._traffic_kind, self.settings.form)

    @property
    def url(self) -> str | None:
        """Where clients reach the service; None if there is no Deployment of it."""
        return self.settings.url_of(self.name) if self.observe().deployments else None

    def ready_url(self) -> str | None:
        """Where clients reach the service, once a ready pod has the champion, and requests go to no other."""
        observed = self.observe()
        serving = observed.deployments.get(observed.traffic.champion or "")
        is_ready = serving is not None and serving.ready and observed.pending is None
        return self.settings.url_of(self.name) if is_ready else None

    def spec(self) -> ServingSpec | None:
        """What the object that directs the requests says is to be served."""
        return self._traffic().spec()

    def age_seconds(self) -> float | None:
        """How long ago that was written."""
        applied = self._traffic().applied
        return None if applied is None else max(0.0, time.time() - applied)

    def is_applied(self, production: Production) -> bool:
        """Whether the cluster is to serve this production, with a Deployment of each version, and the API keys."""
        observed = self.observe()
        if observed.traffic.resource_version is None:
            return production == Production()
        champion = production.champion
        if champion is None or observed.traffic.production != production:
            return observed.traffic.production == production
        deployment = observed.deployments.get(key_of(champion))
        if deployment is None or not self._objects.has_present_keys():
            return False
        return not (self._is_settled(observed.traffic) and self._objects.is_grown(deployment))

    def _is_settled(self, traffic: TrafficState) -> bool:
        return traffic.applied is not None and time.time() - traffic.applied > LOADED_SECONDS

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What every worker of the pods reports, asked through the API server; None if no pod answers.

        Raises:
            ClusterAbsentError, ServingError: the API server does not answer, or refuses: nothing is known of the pods.
        """
        return self._status(self.observe(), timeout_seconds)

    def _status(self, observed: ClusterObservation, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        ready = [
            (deployment.key, pod["metadata"]["name"])
            for deployment in observed.deployments.values()
            for pod in deployment.pods
            if cluster_observation.is_ready(pod) and observed.is_answering(deployment.key, pod["metadata"]["name"])
        ]

        def ask(place: tuple[str, str]) -> Sequence[WorkerStatus]:
            return self._pods.workers(place[1], self.name, timeout_seconds)

        answers: dict[str, list[WorkerStatus]] = {}
        for (key, _), workers in zip(ready, _threads.map(ask, ready), strict=True):
            answers.setdefault(key, []).extend(workers)
        return cluster_status.status(self.name, observed, answers)

    def state(self) -> ServiceState:
        """Whether pods run: of the version that is to answer."""
        base = self.observe().base
        return "stopped" if base is None else "running" if base.ready else "starting"

    def check_rollout(self, pin: Pin, policy: RolloutPolicy | None) -> None:
        """Refuse what this cluster cannot serve, before any of it is made.

        Raises:
            UsageError: no image of the bundle is known; a challenger, and no Gateway that would send it requests.
            ServingError: the cluster has no KServe.
        """
        self._objects.check(pin, self.bundle(pin))
        if policy is not None and self.settings.gateway is None:
            raise UsageError(
                "a challenger gets its requests from a Gateway, and none is named",
                where="[kubernetes] of modelyard.toml",
                expected="gateway and hostname",
                next_step="name a Gateway (docs/kubernetes.md), or set the alias champion",
            )

    def apply(self, production: Production, decision: int, *, staged: Pin | None = None) -> ServingSpec:
        """Make the Deployments, then direct the requests by one patch, then remove what is not wanted any more.

        Requests go to a version that has all its pods ready. Where the champion cannot run, what serves goes on, and
        the status says why.

        Raises:
            OvertakenError: the cluster carries out a later decision.
            UsageError: no image of a bundle is known.
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        before = self._traffic()
        self._refuse_overtaken(before, decision)
        pins = list(dict.fromkeys((*production.pins, *((staged,) if staged is not None else ()))))
        self._objects.put_keys()
        for pin in pins:
            self._objects.ensure(pin, self.bundle(pin), decision, needed=pin in (production.champion, staged))
        spec = self._direct(production, decision, staged)
        self._clean_up({key_of(pin) for pin in pins}, decision, before)
        return spec

    def _direct(self, production: Production, decision: int, staged: Pin | None) -> ServingSpec:
        """Write what production is made of, and direct the requests to it, by one conditional change."""
        for _ in range(ATTEMPTS):
            present = self._traffic()
            self._refuse_overtaken(present, decision)
            champion, challenger = self._directed(present, production, decision)
            document = self._document(production, decision, staged, champion, challenger)
            try:
                if present.resource_version is None:
                    return _spec(self.api.create(_without_empty(document)))
                change = {key: value for key, value in document.items() if key != "kind"}
                change["metadata"] = {**document["metadata"], "resourceVersion": present.resource_version}
                found = self.api.patch(document["kind"], self.name, change)
            except ConflictError:
                continue
            if found is not None:
                return _spec(found)
        raise StackError("the object that directs the requests changes all the time", where=self.api.place)

    def _directed(self, present: TrafficState, production: Production, decision: int) -> tuple[str | None, str | None]:
        """The keys to which requests go: what was asked for, once its pods are ready, else what serves now."""
        wanted = key_of(production.champion) if production.champion is not None else None
        beside = key_of(production.challenger) if production.challenger is not None else None
        if wanted is None:
            return None, None
        if wanted == present.champion:
            return wanted, beside
        observed = self._settled(wanted, decision)
        serving = observed.deployments.get(present.champion or "")
        following = observed.deployments.get(wanted)
        if (following is None or not following.ready) and serving is not None and serving.ready:
            return serving.key, None
        return wanted, beside

    def _settled(self, key: str, decision: int) -> ClusterObservation:
        """Wait until the pods of a bundle are ready, or the cluster says that they will not be, or time is up."""
        deadline = time.monotonic() + self.settings.ready_seconds
        observed = self.observe()
        if (
            key in observed.deployments
            and (now := observed.deployments.get(observed.traffic.champion or "")) is not None
        ):
            self._objects.grow(observed.deployments[key], now.replicas)
        while True:
            observed = self.observe()
            self._refuse_overtaken(observed.traffic, decision)
            found = observed.deployments.get(key)
            serving = observed.deployments.get(observed.traffic.champion or "")
            if found is None or found.ready >= found.replicas or found.failure is not None:
                return observed
            if serving is None or not serving.ready or time.monotonic() > deadline:
                return observed
            time.sleep(POLL_SECONDS)

    def _document(
        self,
        production: Production,
        decision: int,
        staged: Pin | None,
        champion: str | None,
        challenger: str | None,
    ) -> Document:
        """The object that directs the requests, whole."""
        said = annotations_of(production, staged, decision)
        if self.settings.gateway is None:
            return objects.service(self.name, champion, self.settings, said)
        shares: dict[str, int] = {}
        percent = production.policy.canary_percent if production.policy is not None else 0.0
        if champion is not None:
            shares[champion] = 10_000 - round(100 * percent) if challenger is not None else 1
        if champion is not None and challenger is not None and percent > 0:
            shares[challenger] = round(100 * percent)
        mirror = challenger if challenger is not None and percent == 0 else None
        return objects.route(self.name, shares, mirror, self.settings, said)

    def _clean_up(self, wanted: set[str], decision: int, before: TrafficState) -> None:
        """Remove Deployments that this decision does not name, unless a later one does.

        The autoscaler owns the size of the others: of one that was just switched to, once that has its load.
        """
        observed = self._followed(wanted)
        for deployment in observed.deployments.values():
            if deployment.key not in wanted and deployment.decision <= decision:
                self._objects.remove(deployment)
            elif deployment.key != observed.traffic.champion or (
                before.champion == deployment.key and self._is_settled(before)
            ):
                self._objects.release_size(deployment)

    def _followed(self, wanted: set[str]) -> ClusterObservation:
        """Wait until no request goes to the pods of a Deployment that is to be removed, or time is up."""
        deadline = time.monotonic() + ENDPOINT_SECONDS
        while True:
            observed = self.observe()
            going = {observed.keys.get(pod) for pod in observed.endpoints} - wanted
            if not going & set(observed.deployments) or time.monotonic() > deadline:
                return observed
            time.sleep(POLL_SECONDS)

    def wait(
        self, holds: Callable[[WorkerStatus], bool], what: str, timeout_seconds: float | None = None
    ) -> ServiceStatus:
        """Wait until every worker reports it.

        Args:
            timeout_seconds: None: `ready_seconds` of the settings.

        Raises:
            ServingError: not within the time; holds what the workers report instead.
        """
        patience = self.settings.ready_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + patience
        while True:
            status, pending = None, None
            with suppress(ClusterAbsentError):  # it may be back in time
                observed = self.observe()
                status, pending = self._status(observed), observed.pending
            if status is not None and len(status.workers) >= status.expected and all(map(holds, status.workers)):
                return status
            if time.monotonic() > deadline:
                raise ServingError(
                    f"the workers of all pods did not {what} within {patience:.0f} s",
                    where=self.api.place,
                    got="; ".join(filter(None, (pending, status.model_dump_json() if status else "no pod answers"))),
                    next_step=f"`kubectl get pods --selector {objects.MODEL_LABEL}={self.name}` shows them",
                )
            time.sleep(POLL_SECONDS)

    def start(self, bundle: Bundle) -> str:
        """Wait for the pods of a bundle, whose Deployment `apply` has made.

        Raises:
            StackError: they are not ready within `ready_seconds`. Pods that fail are in the status.
        """
        deadline = time.monotonic() + self.settings.ready_seconds
        while True:
            found = self.observe().deployments.get(bundle.folder.name)
            if found is not None and (found.ready >= found.replicas or found.failure is not None):
                return self.settings.url_of(self.name)
            if time.monotonic() > deadline:
                raise StackError(
                    f"the pods of {bundle.tag} are not ready within {self.settings.ready_seconds:.0f} s",
                    where=self.api.place,
                    got="no Deployment" if found is None else f"{found.ready} of {found.replicas} ready",
                    next_step=f"`kubectl describe pods --selector {objects.MODEL_LABEL}={self.name}` says why",
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Direct no requests any more, then remove the Deployments; pods answer what they are answering."""
        present = self._traffic()
        if present.resource_version is not None:
            self._direct(Production(), present.decision, None)
        for deployment in self._followed(set()).deployments.values():
            self._objects.remove(deployment)

    def move(self, port: int) -> None:
        """Refused: a Service has its own address.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "a service in a cluster listens on no port of this machine",
            where=self.name,
            got=f"port {port}",
            next_step=f"`kubectl port-forward service/{self.name} {port}:{objects.PORT}`",
        )

    def bundle(self, pin: Pin) -> Bundle:
        """The bundle that a pin names, on this machine."""
        return self.local.bundle(pin)

    def check_golden_examples(self, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker of every pod that has the package for its golden examples; returns the largest difference.

        Raises:
            ServingError: an answer fails, differs by more than the tolerance, or comes from another package.
            StackError: a worker was not reached.
        """
        found: list[DeploymentObservation] = [
            one for one in self.observe().deployments.values() if one.package == package.digest
        ]
        pods = [pod["metadata"]["name"] for one in found for pod in one.pods]
        expected = sum(one.replicas for one in found)
        if not pods or len(pods) < expected:
            raise StackError(
                "not every pod is there to be asked for the golden examples",
                where=self.api.place,
                got=f"{len(pods)} pods",
                expected=f"{max(1, expected)}",
                next_step=f"`kubectl get pods --selector {objects.MODEL_LABEL}={self.name}` shows them",
            )
        return max(_threads.map(lambda pod: self._pods.prove(pod, package, tolerance, workers), pods))

    def _traffic(self) -> TrafficState:
        return TrafficState.of(self.api.get(self._traffic_kind, self.name))

    def _refuse_overtaken(self, present: TrafficState, decision: int) -> None:
        if present.decision > decision:
            raise OvertakenError(
                "a later decision has been carried out",
                where=f"{self._traffic_kind} {self.name}, {self.api.place}",
                got=f"decision {decision}",
                expected=f"decision {present.decision} or later",
                next_step="read the ledger again; the later decision is the one in force",
            )


def _spec(document: Document) -> ServingSpec:
    found = TrafficState.of(document).spec()
    assert found is not None  # noqa: S101  # the object is there
    return found


def _without_empty(document: Document) -> Document:
    """An object to be made: without annotations that a patch would remove."""
    said = {name: value for name, value in document["metadata"]["annotations"].items() if value is not None}
    return {**document, "metadata": {**document["metadata"], "annotations": said}}
