"""What a cluster holds of one model: the object that directs the requests, the pods that get them, the Deployments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from components.deployment import release_objects as objects
from flows.serving_targets import cluster_endpoints, cluster_kserve
from flows.serving_targets.cluster_api import ClusterApi, Document, ForbiddenError, UnknownKindError
from flows.serving_targets.cluster_traffic import TrafficState, key_of

# Why a container waits, as the kubelet says it: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
FAILED_WAITS = frozenset({
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip


@dataclass(frozen=True)
class DeploymentObservation:
    """A bundle's Deployment, or the InferenceService of which KServe makes one.

    Args:
        document: the object that Modelyard has made.
        pods: that are not being removed.
        failure: why no pod becomes ready; None: nothing says so.
        kind: of the object.
        deployment: what KServe has made of an InferenceService; None: nothing yet.
        stamp: the object with the decision, beside an InferenceService; None: somebody has removed it.
    """

    key: str
    document: Document
    pods: tuple[Document, ...]
    failure: str | None
    kind: Literal["Deployment", "InferenceService"] = "Deployment"
    deployment: Document | None = None
    stamp: Document | None = None

    @property
    def form(self) -> str:
        """As `[kubernetes] form` names it."""
        return "deployment" if self.kind == "Deployment" else "kserve"

    @property
    def annotations(self) -> Mapping[str, str]:
        """Of the Deployment."""
        found: Mapping[str, str] = self.document["metadata"].get("annotations") or {}
        return found

    @property
    def replicas(self) -> int:
        """How many pods there are to be."""
        if self.kind == "InferenceService":
            return cluster_kserve.replicas(self.document, self.deployment)
        return int(self.document["spec"].get("replicas", 1))

    @property
    def ready(self) -> int:
        """How many pods are ready, and are its own: those of a Deployment of this name that was deleted are not."""
        made = self.document if self.kind == "Deployment" else self.deployment
        if made is None or (self.kind == "InferenceService" and not cluster_kserve.is_ready(self.document)):
            return 0
        own = int((made.get("status") or {}).get("readyReplicas", 0))
        return min(own, sum(map(is_ready, self.pods)))

    @property
    def workers(self) -> int:
        """How many worker processes there are to be, in all pods."""
        return self.replicas * _number(self.annotations, objects.WORKERS, 1)

    @property
    def decision(self) -> int:
        """The last decision that wanted it."""
        stamp = self.document if self.kind == "Deployment" else self.stamp
        return decision_of(stamp) if stamp is not None else 0

    @property
    def package(self) -> str:
        """Digest of the package that it serves."""
        return self.annotations.get(objects.PACKAGE, "")


@dataclass(frozen=True)
class ClusterObservation:
    """One model in a cluster, at one moment.

    Args:
        endpoints: names of the pods to which the Service of the champion sends requests.
        keys: the bundle's key of each pod, also of those that are being removed.
        beside: of versions that are there as a Deployment and as an InferenceService, the one that is not in
            `deployments`: the one that `[kubernetes] form` asks for, until all its pods are ready, then the other.
    """

    traffic: TrafficState
    deployments: Mapping[str, DeploymentObservation]
    endpoints: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, DeploymentObservation] = field(default_factory=dict)

    @property
    def base(self) -> DeploymentObservation | None:
        """The Deployment whose workers are reported: the one that answers, else the one that is to."""
        pins = (self.traffic.production.champion, self.traffic.staged)
        keys = [self.traffic.champion or "", *(key_of(pin) for pin in pins if pin is not None)]
        return next((self.deployments[key] for key in keys if key in self.deployments), None)

    @property
    def pending(self) -> str | None:
        """Why requests are not yet all answered by the champion's pods; None: they are."""
        champion = self.traffic.champion
        if self.traffic.pending is not None:
            return self.traffic.pending
        others = sorted(pod for pod in self.endpoints if self.keys.get(pod) != champion)
        if others:
            return f"the EndpointSlices still hold {', '.join(others)}"
        if champion is not None and not self.endpoints:
            return "the EndpointSlices hold no pod"
        return None

    def is_answering(self, key: str, pod: str) -> bool:
        """Whether a ready pod counts as one of its Deployment: in the champion's, only one that gets requests does."""
        return key != self.traffic.champion or self.pending is not None or pod in self.endpoints


def observe(api: ClusterApi, model: str, traffic_kind: str, form: str = "deployment") -> ClusterObservation:
    """Ask the API server.

    Args:
        form: `[kubernetes] form`; versions of the other form are observed too.

    Raises:
        ClusterAbsentError, ServingError: it does not answer, or refuses.
    """
    label = {objects.MODEL_LABEL: model, objects.MANAGED_LABEL: "modelyard"}
    traffic = TrafficState.of(api.get(traffic_kind, model))
    service = model if traffic_kind == "Service" else objects.name_of(model, traffic.champion or objects.NOTHING)
    endpoints = cluster_endpoints.of_service(api, service)
    deployments = api.list("Deployment", label)
    made = {name: one for one in deployments if (name := cluster_kserve.made_by(one)) is not None}
    services = _services(api, label, form, made)
    stamps = {_name(one): one for one in api.list("PodDisruptionBudget", label)} if services else {}
    pods = api.list("Pod", label)
    plain = {key: one for one in deployments if cluster_kserve.made_by(one) is None and (key := _own_key(model, one))}
    kserve = {key: one for one in services if (key := _bundle(one))}  # no key: as `modelyard deploy` writes them
    found, beside = {}, {}
    for key in dict.fromkeys((*plain, *kserve)):
        own, deployment = _living(pods, key), made.get(_name(kserve[key])) if key in kserve else None
        theirs = own if key not in plain else _of_kserve(own, deployment)
        forms = {}
        if key in plain:
            ours = tuple(pod for pod in own if pod not in theirs) if key in kserve else own
            forms["deployment"] = DeploymentObservation(key, plain[key], ours, _failure(plain[key], ours))
        if key in kserve:
            failure = _failure(deployment or {}, theirs) or (None if theirs else cluster_kserve.failure(kserve[key]))
            stamp = stamps.get(objects.name_of(model, key))
            forms["kserve"] = DeploymentObservation(
                key, kserve[key], theirs, failure, "InferenceService", deployment, stamp
            )
        found[key], other = _chosen(forms, form)
        if other is not None:
            beside[key] = other
    return ClusterObservation(traffic, found, endpoints, {_name(pod): _bundle(pod) for pod in pods}, beside)


def _services(api: ClusterApi, label: Mapping[str, str], form: str, made: Mapping[str, Document]) -> list[Document]:
    """The InferenceServices; where the form is another by now, those of which KServe has made a Deployment."""
    if form == "kserve":
        return api.list("InferenceService", label)
    if not any(map(_bundle, made.values())):
        return []
    with suppress(ForbiddenError, UnknownKindError):
        return api.list("InferenceService", label)
    return []


def _chosen(
    forms: Mapping[str, DeploymentObservation], form: str
) -> tuple[DeploymentObservation, DeploymentObservation | None]:
    """Of a version that is there in both forms, the one that counts, and the other."""
    due = forms.get(form)
    other = next((one for name, one in forms.items() if name != form), None)
    if due is None:
        assert other is not None  # noqa: S101  # it is there in a form
        return other, None
    if other is None or due.ready >= due.replicas:
        return due, other
    return other, due


def _of_kserve(pods: tuple[Document, ...], deployment: Document | None) -> tuple[Document, ...]:
    """Of the pods of a version that is there in both forms, those of its InferenceService."""
    return tuple(pod for pod in pods if deployment is not None and cluster_kserve.is_pod_of(pod, deployment))


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _bundle(document: Document) -> str:
    return str((document["metadata"].get("labels") or {}).get(objects.BUNDLE_LABEL, ""))


def _own_key(model: str, deployment: Document) -> str:
    """The key of the bundle of which this is the Deployment; its selector never changes, its label may be gone."""
    chosen = deployment["spec"]["selector"].get("matchLabels") or {}
    key = str(chosen.get(objects.BUNDLE_LABEL, ""))
    is_own = chosen == objects.selector(model, key) and _name(deployment) == f"{model}-{key}"
    return key if is_own else ""


def _living(pods: list[Document], key: str) -> tuple[Document, ...]:
    """The pods of a bundle that are not being removed."""
    return tuple(
        pod
        for pod in pods
        if _bundle(pod) == key
        and "deletionTimestamp" not in pod["metadata"]
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    )


def decision_of(document: Document) -> int:
    """The last decision that wanted an object to be there."""
    return _number(document["metadata"].get("annotations") or {}, objects.DECISION, 0)


def is_ready(pod: Document) -> bool:
    """Whether a pod's readiness probe passes."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _failure(deployment: Document, pods: tuple[Document, ...]) -> str | None:
    """Why no pod of a Deployment becomes ready, as far as the cluster says so; None while one is ready."""
    if any(map(is_ready, pods)):
        return None
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses") or []:
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in FAILED_WAITS:
                ended = (container.get("lastState", {}).get("terminated") or {}).get("exitCode")
                parts = [waiting["reason"], waiting.get("message"), f"exit code {ended}" if ended is not None else None]
                return f"pod {pod['metadata']['name']}: {', '.join(filter(None, parts))}"[:400]
    for condition in deployment.get("status", {}).get("conditions") or []:
        if condition["type"] == "Progressing" and condition["status"] == "False":
            return f"{condition.get('reason')}: {json.dumps(condition.get('message', ''))}"[:400]
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{condition.get('reason')}: {json.dumps(condition.get('message', ''))}"[:400]
    return None


def _number(annotations: Mapping[str, str], name: str, otherwise: int) -> int:
    """The number that an annotation says; somebody may have changed it to what is none."""
    text = annotations.get(name, "")
    return int(text) if text.isdecimal() else otherwise
