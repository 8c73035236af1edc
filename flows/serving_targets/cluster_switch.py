"""The switch in a cluster: one conditional change of the object that directs the requests, a Service or an HTTPRoute.

It holds the number of the ledger's decision: a controller that was overtaken finds another version of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from components.contracts.kubernetes_settings import KubernetesSettings
from components.contracts.serving_spec import OvertakenError, ServingSpec
from components.core.errors import CorruptArtifactError, StackError, UsageError
from components.core.log import Log
from components.deployment import release_objects as objects
from components.release.production import Pin, Production
from flows.serving_targets import cluster_drift
from flows.serving_targets.cluster_api import ClusterApi, ConflictError, Document, ForbiddenError, UnknownKindError
from flows.serving_targets.cluster_objects import ClusterObjects
from flows.serving_targets.cluster_observation import ClusterObservation
from flows.serving_targets.cluster_traffic import TrafficState, annotations_of, key_of

POLL_SECONDS = 0.25
ATTEMPTS = 20  # of a conditional change, while others change the same object


@dataclass(frozen=True)
class TrafficSwitch:
    """Directs the requests of one model.

    Args:
        observe: what the cluster holds of the model.
        ledger: digest of the first entry of the model's ledger, by which projects are told apart; None: it is empty.
        log: takes a line on what was put back.
    """

    api: ClusterApi
    settings: KubernetesSettings
    objects: ClusterObjects
    observe: Callable[[], ClusterObservation]
    ledger: Callable[[], str | None]
    log: Log

    @property
    def model(self) -> str:
        """The model."""
        return self.objects.model

    @property
    def kind(self) -> Literal["Service", "HTTPRoute"]:
        """Of the object that directs the requests."""
        return "Service" if self.settings.gateway is None else "HTTPRoute"

    def state(self) -> TrafficState:
        """What the object says now."""
        return TrafficState.of(self.api.get(self.kind, self.model))

    def is_foreign(self, present: TrafficState) -> bool:
        """Whether another project's ledger decides on the model of this name in this namespace."""
        return present.ledger not in (None, self.ledger())

    def refuse_foreign(self, present: TrafficState) -> None:
        """Refuse to direct the requests to another project's model (`UsageError`), whichever object directs them."""
        found = present
        if found.resource_version is None:
            with suppress(UnknownKindError, ForbiddenError, CorruptArtifactError):
                other = "HTTPRoute" if self.settings.gateway is None else "Service"
                found = TrafficState.of(self.api.get(other, self.model))
        if self.is_foreign(found):
            raise UsageError(
                f"another project serves its model {self.model} in this namespace",
                where=self.api.place,
                got=f"the ledger that begins with {str(found.ledger)[:12]}",
                expected=f"this project's, which begins with {(self.ledger() or 'nothing yet')[:12]}",
                next_step="name another namespace in [kubernetes], or rename the pipeline; where the ledger of before "
                f"is lost, `kubectl delete` the {'HTTPRoute' if found.is_divided else 'Service'} {self.model}",
            )

    def refuse_overtaken(self, present: TrafficState, decision: int) -> None:
        """Refuse a decision that is older than the one that the object holds (`OvertakenError`)."""
        if present.decision > decision:
            raise OvertakenError(
                "a later decision has been carried out",
                where=f"{self.kind} {self.model}, {self.api.place}",
                got=f"decision {decision}",
                expected=f"decision {present.decision} or later",
                next_step="read the ledger again; the later decision is the one in force",
            )

    def drift(self, present: TrafficState) -> str | None:
        """What somebody has changed of the object beside its annotations; None: nothing, or there is none.

        Whether requests go to the right version is not the question here.
        """
        if present.document is None:
            return None
        production = present.production
        is_served = production.champion is not None and present.champion == key_of(production.champion)
        challenger = key_of(production.challenger) if is_served and production.challenger is not None else None
        wanted = self._document(production, present.decision, present.staged, present.champion, challenger)
        return cluster_drift.of_traffic(wanted, present.document)

    def is_drift_due(self, present: TrafficState) -> bool:
        """Whether the object was changed, and is to be put back now."""
        most = cluster_drift.LONGEST_TRAFFIC_PAUSE_SECONDS
        return self.drift(present) is not None and cluster_drift.is_due(self.api.place, self.kind, self.model, most)

    def direct(self, production: Production, decision: int, staged: Pin | None) -> ServingSpec:
        """Write what production is made of, and direct the requests to it, by one conditional change.

        Raises:
            OvertakenError: the cluster carries out a later decision.
            UsageError: another project's model has the name.
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        for _ in range(ATTEMPTS):
            present = self.state()
            self.refuse_foreign(present)
            self.refuse_overtaken(present, decision)
            champion, challenger = self._directed(present, production, decision)
            document = self._document(production, decision, staged, champion, challenger)
            try:
                if present.resource_version is None:
                    return _spec(self.api.create(_without_empty(document)))
                change = {key: value for key, value in document.items() if key != "kind"}
                change["metadata"] = {**document["metadata"], "resourceVersion": present.resource_version}
                if document["kind"] == "Service" and present.document is not None:
                    selector = cluster_drift.exactly(
                        document["spec"]["selector"], present.document["spec"].get("selector")
                    )
                    change["spec"] = {**document["spec"], "selector": selector}
                found = self.api.patch(document["kind"], self.model, change)
            except ConflictError:
                continue
            if found is not None:
                self._tell_drift(present)
                return _spec(found)
        raise StackError("the object that directs the requests changes all the time", where=self.api.place)

    def _tell_drift(self, former: TrafficState) -> None:
        """Say that the object was put back, if it was."""
        drift = self.drift(former)
        if drift is not None:
            cluster_drift.note_mended(self.api.place, self.kind, self.model)
            self.log(f"{self.model}: {self.kind} {self.model} was put back in the cluster: {drift}")

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
            self.objects.grow(observed.deployments[key], now.replicas)
        while True:
            observed = self.observe()
            self.refuse_overtaken(observed.traffic, decision)
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
        said = annotations_of(production, staged, decision, self.ledger())
        if self.settings.gateway is None:
            return objects.service(self.model, champion, said)
        shares: dict[str, int] = {}
        percent = production.policy.canary_percent if production.policy is not None else 0.0
        if champion is not None:
            shares[champion] = 10_000 - round(100 * percent) if challenger is not None else 1
        if champion is not None and challenger is not None and percent > 0:
            shares[challenger] = round(100 * percent)
        mirror = challenger if challenger is not None and percent == 0 else None
        return objects.route(self.model, shares, mirror, self.settings, said)


def _spec(document: Document) -> ServingSpec:
    found = TrafficState.of(document).spec()
    assert found is not None  # noqa: S101  # the object is there
    return found


def _without_empty(document: Document) -> Document:
    """An object to be made: without annotations that a patch would remove."""
    said = {name: value for name, value in document["metadata"]["annotations"].items() if value is not None}
    return {**document, "metadata": {**document["metadata"], "annotations": said}}
