"""Make and remove a model's objects in a cluster: Deployments or InferenceServices, and what is beside them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.errors import ServingError, UsageError
from components.core.log import Log
from components.deployment import release_kserve, resources, service_facts
from components.deployment import release_objects as objects
from components.packaging import pushed_image
from components.packaging.bundle import Bundle
from components.release.production import Pin
from flows.serving_targets import cluster_drift
from flows.serving_targets.cluster_api import ClusterApi, ConflictError, Document, ForbiddenError, UnknownKindError
from flows.serving_targets.cluster_observation import DeploymentObservation, decision_of
from flows.serving_targets.cluster_traffic import key_of
from flows.serving_targets.cluster_upkeep import ClusterUpkeep
from flows.serving_targets.local_target import LocalServingTarget

ATTEMPTS = 20  # to remove an object whose status changes meanwhile
KSERVE_COMPANIONS = ("PodDisruptionBudget", "Service")
COMPANIONS = (*KSERVE_COMPANIONS, "HorizontalPodAutoscaler")


@dataclass(frozen=True)
class ClusterObjects:
    """The objects of one model, but the one that directs the requests.

    Args:
        log: takes a line on what was put back.
    """

    api: ClusterApi
    settings: KubernetesSettings
    local: LocalServingTarget
    log: Log

    @property
    def model(self) -> str:
        """The model."""
        return self.local.name

    @cached_property
    def upkeep(self) -> ClusterUpkeep:
        """Puts back what somebody has changed."""
        return ClusterUpkeep(self.api, self.settings, self.model, self._due, self.log)

    def _due(self, pin: Pin, form: str) -> Document | None:
        """The object of a bundle in a form, as it would be made now; None: it cannot be made here."""
        bundle, kind = self.local.bundle(pin), "Deployment" if form == "deployment" else "InferenceService"
        if not self.can_make(pin, bundle):
            return None
        return next(one for one in self._written(pin, bundle, 0, form) if one["kind"] == kind)

    def image(self, pin: Pin, bundle: Bundle) -> str:
        """The image of a pinned bundle.

        Raises:
            UsageError: none is known.
        """
        found = pushed_image.of_bundle(bundle, pin.bundle_digest)
        if found is None:
            raise UsageError(
                f"no image of the bundle {pin.bundle} is known: "
                f"`modelyard containerize {self.model} --version {pin.version} --push REGISTRY/NAME` records one",
                where=str(pushed_image.path(bundle).relative_to(self.local.project.root)),
                expected="an image by its digest, in a registry that the cluster reads",
                next_step=f"`modelyard containerize {self.model} --version {pin.version} --push REGISTRY/NAME`, or "
                "`--pushed REGISTRY/NAME@sha256:...` where CI has pushed it; then promote again",
            )
        return found

    def check(self, pin: Pin, bundle: Bundle) -> None:
        """Refuse a bundle that cannot be served, before anything of it is made.

        Raises:
            UsageError: no image of it is known; its name is too long.
            ServingError: it is to be an InferenceService, and the cluster has no KServe.
        """
        self.image(pin, bundle)
        objects.name_of(self.model, key_of(pin))
        if self.settings.form == "kserve":
            self._inference_service(key_of(pin))
            self.api.list("InferenceService", {objects.MODEL_LABEL: self.model})

    def ensure(self, pin: Pin, bundle: Bundle, decision: int, *, needed: bool) -> None:
        """Make a bundle's Deployment, or note on the present one that this decision wants it.

        Args:
            needed: without it nothing can be served; else a bundle that is gone stays away.

        Raises:
            UsageError: no image of it is known.
            ServingError: it is needed, and the bundle is gone, or its name is another's.
        """
        name, service = objects.name_of(self.model, key_of(pin)), self._inference_service(key_of(pin))
        forms = self.upkeep.stamped(pin, service, decision, needed=needed)
        if self.settings.form in forms or (forms and not self.can_make(pin, bundle)):
            return
        if not bundle.exists():
            if needed:
                raise ServingError(
                    f"the bundle {bundle.tag} is not there, and the cluster has no Deployment of it",
                    where=str(bundle.folder),
                    next_step=f"`modelyard promote {self.model} {pin.version}` builds it anew, through the gates",
                )
            return
        if forms and self.settings.gateway is not None:  # the Service of before may name a port that KServe's pods lack
            self.api.patch("Service", name, {"spec": {"ports": objects.ports()}})
        self._write(pin, bundle, decision)

    def can_make(self, pin: Pin, bundle: Bundle) -> bool:
        """Whether a bundle's objects can be made here in the form that the settings ask for."""
        with suppress(UsageError):
            if self.settings.form == "kserve":
                release_kserve.name_of(self.model, key_of(pin))
            return bundle.exists() and bool(self.image(pin, bundle))
        return False

    def _write(self, pin: Pin, bundle: Bundle, decision: int) -> None:
        """Make the objects of a bundle that is not in the cluster yet, and note what its pods are."""
        for document in self._written(pin, bundle, decision, self.settings.form):
            kind = document["kind"]
            try:
                found = self.api.create(document)
            except ConflictError:  # another controller has made it, or one that was killed
                continue
            if kind in ("Deployment", "InferenceService"):
                note = json.dumps(cluster_drift.kept(cluster_drift.pods_written(kind, document["spec"]), found["spec"]))
                stamp = kind if kind == "Deployment" else "PodDisruptionBudget"  # KServe copies annotations to pods
                name = objects.name_of(self.model, key_of(pin))
                self.api.patch(stamp, name, {"metadata": {"annotations": {objects.WRITTEN: note}}})

    def _written(self, pin: Pin, bundle: Bundle, decision: int, form: str) -> list[Document]:
        """The objects of a bundle that is not in the cluster yet."""
        facts = service_facts.of_bundle(bundle)
        image, sizes = self.image(pin, bundle), resources.of_service(facts)
        if form == "kserve":
            beside = release_kserve.companions(self.model, key_of(pin), self.settings, decision)
            return [*beside.values(), release_kserve.inference_service(facts, image, self.settings, sizes)]
        document = objects.deployment(facts, image, self.settings, sizes, decision)
        return [*objects.companions(document, self.settings).values(), document]

    def _inference_service(self, key: str) -> Document | None:
        """A bundle's InferenceService; of a project without KServe, as far as the cluster tells it."""
        if self.settings.form == "kserve":
            return self.api.get("InferenceService", release_kserve.name_of(self.model, key))
        with suppress(UsageError, ForbiddenError, UnknownKindError):
            return self.api.get("InferenceService", release_kserve.name_of(self.model, key))
        return None

    def grow(self, deployment: DeploymentObservation, replicas: int) -> None:
        """Have at least so many pods, until `release_size`."""
        if deployment.replicas < replicas and self.settings.max_replicas is not None:
            self._set_least(deployment, replicas)
            if deployment.kind == "Deployment":
                self.api.patch("Deployment", deployment.document["metadata"]["name"], {"spec": {"replicas": replicas}})

    def is_grown(self, deployment: DeploymentObservation) -> bool:
        """Whether the autoscaler of a Deployment is kept from going down to the number of the settings."""
        if self.settings.max_replicas is None:
            return False
        if deployment.kind == "InferenceService":
            return int(deployment.document["spec"]["predictor"].get("minReplicas", 1)) > self.settings.replicas
        found = self.api.get("HorizontalPodAutoscaler", deployment.document["metadata"]["name"])
        return found is not None and found["spec"].get("minReplicas", 1) > self.settings.replicas

    def release_size(self, deployment: DeploymentObservation) -> None:
        """Leave the number of pods to the autoscaler."""
        if self.is_grown(deployment):
            self._set_least(deployment, self.settings.replicas)

    def _set_least(self, deployment: DeploymentObservation, replicas: int) -> None:
        """Set the least number of pods that the autoscaler has: KServe's own is set through its object."""
        name = deployment.document["metadata"]["name"]
        if deployment.kind == "InferenceService":
            self.api.patch("InferenceService", name, {"spec": {"predictor": {"minReplicas": replicas}}})
        else:
            self.api.patch("HorizontalPodAutoscaler", name, {"spec": {"minReplicas": replicas}})

    def remove(self, deployment: DeploymentObservation) -> None:
        """Remove a Deployment, and what stands beside it; one that a later decision wants by now stays."""
        name = objects.name_of(self.model, deployment.key)
        if deployment.kind == "Deployment":
            if not self._remove_stamped("Deployment", deployment.document, deployment.decision):
                return
            companions: tuple[str, ...] = COMPANIONS
        else:
            if deployment.stamp is not None and not self._remove_stamped(
                "PodDisruptionBudget", deployment.stamp, deployment.decision
            ):
                return
            self.api.delete("InferenceService", deployment.document["metadata"]["name"])
            companions = KSERVE_COMPANIONS
        for kind in companions:
            self.api.delete(kind, name)

    def remove_form(self, deployment: DeploymentObservation) -> bool:
        """Remove a version in one form, beside the same in the other; False: a later decision wants it by now."""
        name = deployment.document["metadata"]["name"]
        if deployment.kind == "InferenceService":
            self.api.delete("InferenceService", name)
            return True
        if not self._remove_stamped("Deployment", deployment.document, deployment.decision):
            return False
        self.api.delete("HorizontalPodAutoscaler", name)  # KServe makes its own
        return True

    def _remove_stamped(self, kind: str, document: Document, decision: int) -> bool:
        """Remove the object with the decision; False: a later decision wants it by now, or it is gone."""
        present: Document | None = document
        for _ in range(ATTEMPTS):
            if present is None or decision_of(present) > decision:
                return False
            try:
                self.api.delete(kind, present["metadata"]["name"], present["metadata"]["resourceVersion"])
            except ConflictError:  # its status has changed, or it was noted that a later decision wants it
                present = self.api.get(kind, document["metadata"]["name"])
            else:
                return True
        return False
