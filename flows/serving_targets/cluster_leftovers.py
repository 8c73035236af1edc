"""Modelyard's own objects of one model that no setting of `[kubernetes]` asks for any more, and pods that nobody owns.

After a change of settings, what was asked for before stays until what is asked for now serves. The object that directed
the requests then stays for a while, at the old address, for clients to turn to the new one; but not longer than its
champion is the one in force. What has not the labels and annotations that releases write is left alone.

Pods stay without an owner where an API server was away when their Deployment was deleted and made anew: the garbage
collector of Kubernetes takes the new one for theirs, by its name, and keeps their ReplicaSet for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.errors import CorruptArtifactError
from components.core.log import Log
from components.deployment import release_objects as objects
from flows.serving_targets.cluster_api import ClusterApi, ConflictError, Document, ForbiddenError, UnknownKindError
from flows.serving_targets.cluster_observation import ClusterObservation
from flows.serving_targets.cluster_traffic import TrafficState

HANDOVER_SECONDS = 60.0  # for clients to turn to the new address
BACKENDS_SECONDS = 10.0  # for a Gateway to follow its route that is gone, before the Services behind it go
ORPHAN_SECONDS = 30.0  # so long, the garbage collector is given for what it removes by itself
LOOK_SECONDS = 60.0  # between two looks where nothing was found
REFUSED_SECONDS = 600.0  # after which a removal that the cluster did not allow is tried again
NO_SETTING = "no setting of [kubernetes] asks for it any more"
NO_OWNER = "its Deployment was deleted, and another one has that name by now, or none"
Name = tuple[str, str]  # kind and name
_found: dict[tuple[str, str], tuple[KubernetesSettings, float, dict[Name, float]]] = {}  # when, and each since when
_refused: dict[tuple[str, Name], float] = {}


@dataclass(frozen=True)
class Leftover:
    """An object that is to go.

    Args:
        why: nobody wants it.
        delay_seconds: how long it stays from the moment at which it was found first.
    """

    document: Document
    kind: str
    why: str
    delay_seconds: float

    @property
    def name(self) -> Name:
        """Its kind and name."""
        return self.kind, str(self.document["metadata"]["name"])


@dataclass(frozen=True)
class Leftovers:
    """Finds and removes them; when each was found first is known to the process."""

    api: ClusterApi
    settings: KubernetesSettings
    model: str
    ledger: Callable[[], str | None]
    log: Log

    @property
    def _labels(self) -> dict[str, str]:
        return {objects.MODEL_LABEL: self.model, objects.MANAGED_LABEL: "modelyard"}

    def due(self, observed: ClusterObservation) -> list[Leftover]:
        """Those that are to go now; none before what the settings ask for serves.

        Raises:
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        now, place = time.monotonic(), (self.api.place, self.model)
        settings, looked, since = _found.get(place, (None, now, {}))
        if not _serves(observed):
            return []
        if settings == self.settings and not since and now - looked < LOOK_SECONDS:
            return []
        if settings != self.settings:
            since = {}
        found = [one for one in self._find(observed) if not self._is_refused(one)]
        since = {one.name: since.get(one.name, now) for one in found}
        _found[place] = (self.settings, now, since)
        return [one for one in found if now - since[one.name] >= one.delay_seconds]

    def remove(self, leftovers: list[Leftover]) -> None:
        """Remove them, and say so; one that was changed meanwhile is looked at again later."""
        for one in leftovers:
            try:
                self.api.delete(*one.name, one.document["metadata"]["resourceVersion"])
            except ConflictError:
                continue
            except ForbiddenError as error:
                _refused[self.api.place, one.name] = time.monotonic()
                self.log(f"{self._about(one)} stays in the cluster, which does not allow its removal: {error.got}")
            else:
                self.log(f"{self._about(one)} was removed from the cluster: {one.why}")

    def remove_overtaken(self, wanted: str | None, observe: Callable[[], ClusterObservation]) -> None:
        """Before a switch, remove what directs requests at the old address to another version than the one wanted.

        Args:
            wanted: the key of the bundle to which requests are to go; None: to none, whatever serves.
            observe: what the cluster holds of the model.
        """
        with suppress(ForbiddenError):
            former = self._former_traffic()
            if former is None or TrafficState.of(former.document).champion in (None, wanted):
                return
            if wanted is None or _serves(observe()):
                self.remove([former])

    def _about(self, one: Leftover) -> str:
        return f"{self.model}: {' '.join(one.name)}"

    def _is_refused(self, one: Leftover) -> bool:
        at = _refused.get((self.api.place, one.name))
        return at is not None and time.monotonic() - at < REFUSED_SECONDS

    def _find(self, observed: ClusterObservation) -> Iterator[Leftover]:
        with suppress(ForbiddenError):  # then nobody knows whether a route needs the Services of bundles
            yield from self._of_settings(observed)
        for replica_set in self._without_owner():
            key = (replica_set["metadata"].get("labels") or {}).get(objects.BUNDLE_LABEL, "")
            present = observed.deployments.get(key)
            if present is None or present.ready >= present.replicas:
                yield Leftover(replica_set, "ReplicaSet", NO_OWNER, ORPHAN_SECONDS)

    def _of_settings(self, observed: ClusterObservation) -> Iterator[Leftover]:
        former = self._former_traffic(observed.traffic.champion)
        if former is not None:
            yield former
        for deployment in observed.deployments.values():
            name = objects.name_of(self.model, deployment.key)
            if former is None and self.settings.gateway is None:
                yield from self._of_bundle("Service", name, deployment.key, BACKENDS_SECONDS)
            if self.settings.max_replicas is None and deployment.kind == "Deployment":
                yield from self._of_bundle("HorizontalPodAutoscaler", name, deployment.key, 0.0)
        if self.settings.form == "deployment":
            yield from self._without_deployment(observed)

    def _without_deployment(self, observed: ClusterObservation) -> Iterator[Leftover]:
        """The InferenceServices of which KServe has made nothing: the others are observed, and go by themselves."""
        services: list[Document] = []
        with suppress(ForbiddenError, UnknownKindError):
            services = self.api.list("InferenceService", self._labels)
        present = {
            one.document["metadata"]["name"] for one in (*observed.deployments.values(), *observed.beside.values())
        }
        for service in services:
            key = service["metadata"]["labels"].get(objects.BUNDLE_LABEL)
            if key is None or service["metadata"]["name"] in present:
                continue
            yield Leftover(service, "InferenceService", NO_SETTING, 0.0)
            for kind in ("PodDisruptionBudget", "Service") if key not in observed.deployments else ():
                yield from self._of_bundle(kind, objects.name_of(self.model, key), key, 0.0)

    def _former_traffic(self, champion: str | None = None) -> Leftover | None:
        """The object that directed the requests before a `gateway` was named, or taken out."""
        kind = "HTTPRoute" if self.settings.gateway is None else "Service"
        found = self._get(kind, self.model)
        if found is None or not self._is_ours(found):
            return None
        try:
            is_current = TrafficState.of(found).champion == champion
        except CorruptArtifactError:  # as `modelyard deploy` writes them, or a person
            return None
        return Leftover(found, kind, NO_SETTING, HANDOVER_SECONDS if is_current else 0.0)

    def _of_bundle(self, kind: str, name: str, key: str, delay_seconds: float) -> Iterator[Leftover]:
        found = self._get(kind, name)
        if found is not None and self._is_ours(found) and found["metadata"]["labels"].get(objects.BUNDLE_LABEL) == key:
            yield Leftover(found, kind, NO_SETTING, delay_seconds)

    def _is_ours(self, document: Document) -> bool:
        metadata = document["metadata"]
        ledger = (metadata.get("annotations") or {}).get(objects.LEDGER)
        has_labels = self._labels.items() <= (metadata.get("labels") or {}).items()
        return has_labels and ledger in (None, self.ledger())

    def _get(self, kind: str, name: str) -> Document | None:
        """An object; None also where the cluster does not know its kind."""
        with suppress(UnknownKindError):
            return self.api.get(kind, name)
        return None

    def _without_owner(self) -> Iterator[Document]:
        """The ReplicaSets whose Deployment is another one by now, or is gone; the owner is read after them."""
        found: list[Document] = []
        with suppress(ForbiddenError):
            found = self.api.list("ReplicaSet", self._labels)
        for replica_set in found:
            metadata = replica_set["metadata"]
            owners = [one for one in metadata.get("ownerReferences") or [] if one.get("controller")]
            if objects.BUNDLE_LABEL not in metadata["labels"] or [one["kind"] for one in owners] != ["Deployment"]:
                continue
            present = self.api.get("Deployment", owners[0]["name"])
            if present is None or present["metadata"]["uid"] != owners[0]["uid"]:
                yield replica_set


def _serves(observed: ClusterObservation) -> bool:
    """Whether the pods of the champion, and no others, get the requests by the present settings."""
    serving = observed.deployments.get(observed.traffic.champion or "")
    return serving is not None and serving.ready > 0 and observed.pending is None
