"""A serving target in a cluster of Kubernetes: each version is a Deployment, by the digest of its image.

What production is made of stands in annotations of the object that directs the requests (a Service, or an HTTPRoute
where a Gateway is named), with the number of the ledger's decision. One conditional patch of this object is the switch:
a controller that was overtaken finds another version of it. Pods run the bundle's own service, which reads no spec.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from components.contracts.kubernetes_settings import KubernetesSettings
from components.contracts.serving_spec import RolloutPolicy, ServiceStatus, ServingSpec, WorkerStatus
from components.core.errors import ServingError, StackError, UsageError
from components.core.log import Log
from components.deployment import release_objects as objects
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.release import ledger as ledgers
from components.release.ledger import Ledger
from components.release.production import Pin, Production
from flows.serving_targets import cluster_observation
from flows.serving_targets.cluster_api import ClusterAbsentError, ClusterApi, connect
from flows.serving_targets.cluster_keys import ClusterKeys
from flows.serving_targets.cluster_leftovers import HANDOVER_SECONDS, Leftovers
from flows.serving_targets.cluster_objects import ClusterObjects
from flows.serving_targets.cluster_observation import ClusterObservation
from flows.serving_targets.cluster_removal import ClusterRemoval, former, is_settled
from flows.serving_targets.cluster_switch import TrafficSwitch
from flows.serving_targets.cluster_traffic import TrafficState, key_of
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.pod_workers import PodWorkers
from flows.serving_targets.serving_target import ServiceState

POLL_SECONDS = 0.25


def _print(text: str) -> None:
    print(text, flush=True)


@dataclass(frozen=True)
class KubernetesServingTarget:
    """One model's service in the cluster that `modelyard.toml` names.

    Args:
        local: the target on this machine, which knows the bundles; nothing is served here.
        log: takes a line on what is removed because settings have changed.
    """

    local: LocalServingTarget
    settings: KubernetesSettings
    log: Log = _print

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
        return ClusterObjects(self.api, self.settings, self.local, self.log)

    @cached_property
    def _workers(self) -> PodWorkers:
        return PodWorkers(self.api, self.name, lambda: self._keys.controller_key)

    @cached_property
    def _keys(self) -> ClusterKeys:
        return ClusterKeys(self.api, self.local.project, self.name)

    @cached_property
    def _switch(self) -> TrafficSwitch:
        return TrafficSwitch(self.api, self.settings, self._objects, self.observe, self._ledger.origin, self.log)

    @cached_property
    def _ledger(self) -> Ledger:
        return ledgers.of(self.local.project, self.name)

    @cached_property
    def _removal(self) -> ClusterRemoval:
        return ClusterRemoval(self.settings, self._objects, self.observe, self.log)

    @cached_property
    def _leftovers(self) -> Leftovers:
        return Leftovers(self.api, self.settings, self.name, self._ledger.origin, self.log)

    def observe(self) -> ClusterObservation:
        """What the cluster holds of the model; nothing where another project's model has its name.

        Raises:
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        found = cluster_observation.observe(self.api, self.name, self._switch.kind, self.settings.form)
        return ClusterObservation(TrafficState(), {}) if self._switch.is_foreign(found.traffic) else found

    def _traffic(self) -> TrafficState:
        found = self._switch.state()
        return TrafficState() if self._switch.is_foreign(found) else found

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
        """Whether the cluster is to serve this production, with a Deployment of each version, and the API keys.

        What somebody has changed of the objects is to be put back.
        """
        observed = self.observe()
        if observed.traffic.resource_version is None:
            return production == Production()
        champion = production.champion
        if champion is None or observed.traffic.production != production:
            return observed.traffic.production == production
        deployment = observed.deployments.get(key_of(champion))
        if deployment is None or not self._keys.has_present_keys():
            return False
        if self._switch.is_drift_due(observed.traffic) or self._objects.upkeep.is_changed(observed, production.pins):
            return False
        is_loaded = is_settled(observed.traffic) and deployment.key not in observed.beside
        if is_loaded and self._objects.is_grown(deployment):
            return False
        if observed.traffic.staged is not None:  # a release goes on, and its own steps do the rest
            return True
        is_all_else_gone = not self._leftovers.due(observed) and not self._is_left_here(observed, champion)
        return self._has_present_forms(observed, production) and is_all_else_gone

    def _is_left_here(self, observed: ClusterObservation, champion: Pin | None) -> bool:
        """Whether this machine runs a service that it ran before a cluster was named, and clients had time to turn."""
        serving = observed.deployments.get(key_of(champion)) if champion is not None else None
        applied = observed.traffic.applied
        has_moved = serving is not None and serving.ready > 0 and applied is not None
        return has_moved and time.time() - (applied or 0.0) >= HANDOVER_SECONDS and self.local.url is not None

    def _has_present_forms(self, observed: ClusterObservation, production: Production) -> bool:
        """Whether each version is there in the form that the settings ask for, as far as it can be made, and in no
        other once all its pods are ready.
        """
        self._removal.tell_failures(observed)
        for pin in production.pins:
            one = observed.deployments.get(key_of(pin))
            is_made = one is None or one.form == self.settings.form or one.key in observed.beside
            if not is_made and self._objects.can_make(pin, self.bundle(pin)):
                return False
        return not former(observed, self.settings.form)

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What every worker of the pods reports, asked through the API server; None if no pod answers.

        Raises:
            ClusterAbsentError, ServingError: the API server does not answer, or refuses: nothing is known of the pods.
        """
        return self._workers.status(self.observe(), timeout_seconds)

    def state(self) -> ServiceState:
        """Whether pods run: of the version that is to answer."""
        base = self.observe().base
        return "stopped" if base is None else "running" if base.ready else "starting"

    def check_rollout(self, pin: Pin, policy: RolloutPolicy | None) -> None:
        """Refuse what this cluster cannot serve, before any of it is made.

        Raises:
            UsageError: another project's model has the name; no image of the bundle is known; a challenger, and no
                Gateway that would send it requests.
            ServingError: the cluster has no KServe.
        """
        self._switch.refuse_foreign(self._switch.state())
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
            UsageError: no image of a bundle is known; another project's model has the name.
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        before = self._switch.state()
        self._switch.refuse_foreign(before)
        self._switch.refuse_overtaken(before, decision)
        pins = list(dict.fromkeys((*production.pins, *((staged,) if staged is not None else ()))))
        is_left_here = staged is None and self._is_left_here(self.observe(), production.champion)
        self._keys.put_keys()
        for pin in pins:
            self._objects.ensure(pin, self.bundle(pin), decision, needed=pin in (production.champion, staged))
        champion = key_of(production.champion) if production.champion is not None else None
        self._leftovers.remove_overtaken(champion, self.observe)
        spec = self._switch.direct(production, decision, staged)
        observed = self._removal.clean_up({key_of(pin) for pin in pins}, decision, before)
        self._leftovers.remove(self._leftovers.due(observed))
        if is_left_here:
            self.log(f"{self.name}: the service on this machine ends: the cluster serves")
            self.local.stop()
        return spec

    def bring(self, pin: Pin) -> None:
        """An image is what its digest says."""

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
                status, pending = self._workers.status(observed), observed.pending
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
        present = self._switch.state()
        self._switch.refuse_foreign(present)
        self._leftovers.remove_overtaken(None, self.observe)
        if present.resource_version is not None:
            self._switch.direct(Production(), present.decision, None)
        observed = self._removal.followed(())
        for deployment in (*observed.deployments.values(), *observed.beside.values()):
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
        return self._workers.prove(self.observe(), package, tolerance, workers)
