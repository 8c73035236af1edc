"""What a cluster holds of one model: the object that directs the requests, the pods that
get them, the Deployments, their pods.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from components.contracts.serving_spec import ServingSpec, SlotSpec
from components.core.errors import CorruptArtifactError
from components.deployment import release_objects as objects
from components.release.production import Pin, Production
from flows.serving_targets import cluster_endpoints
from flows.serving_targets.cluster_api import ClusterApi, Document

# Why a container waits, as the kubelet says it: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
FAILED_WAITS = frozenset({
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip


@dataclass(frozen=True)
class TrafficState:
    """What the object that directs the requests says: its annotations, and where requests go.

    Args:
        resource_version: of the object; None: there is none.
        decision: number of the ledger's entry that it carries out.
        applied: when it was written, seconds since 1970.
        champion: key of the bundle whose pods answer; None: none do.
        challenger: key of the bundle that gets a share, or copies, of the requests.
        pending: what the Gateway says, or has not said yet, of the present route; None: it has taken it over.
    """

    resource_version: str | None = None
    decision: int = 0
    production: Production = field(default_factory=Production)
    staged: Pin | None = None
    applied: float | None = None
    champion: str | None = None
    challenger: str | None = None
    pending: str | None = None

    @staticmethod
    def of(document: Document | None) -> TrafficState:
        """From a Service or an HTTPRoute.

        Raises:
            CorruptArtifactError: its annotations are not those that Modelyard writes.
        """
        if document is None:
            return TrafficState()
        metadata = document["metadata"]
        said: Mapping[str, str] = metadata.get("annotations") or {}
        champion, challenger = _directed(document)
        try:
            staged = said.get(objects.STAGED)
            return TrafficState(
                metadata["resourceVersion"],
                int(said[objects.DECISION]),
                Production.model_validate_json(said[objects.PRODUCTION]),
                Pin.model_validate_json(staged) if staged else None,
                float(said[objects.APPLIED]),
                champion,
                challenger,
                _pending(document) if document["kind"] == "HTTPRoute" else None,
            )
        except (KeyError, ValueError, ValidationError) as error:
            raise CorruptArtifactError(
                f"the {document['kind']} of this name was not written by Modelyard",
                where=f"{document['kind']} {metadata['name']}",
                got=repr(error)[:300],
                expected=f"the annotations {objects.DECISION}, {objects.PRODUCTION} and {objects.APPLIED}",
                next_step="`kubectl delete` it, or name another namespace in [kubernetes]",
            ) from error

    def spec(self) -> ServingSpec | None:
        """The same as the spec of a service; None: there is none."""
        if self.resource_version is None:
            return None
        production = self.production
        return ServingSpec(
            generation=self.decision,
            decision=self.decision,
            champion=_slot(production.champion),
            previous=_slot(production.previous),
            staged=_slot(self.staged),
        )


def annotations_of(production: Production, staged: Pin | None, decision: int) -> dict[str, str | None]:
    """What `TrafficState` is read from; None removes one by a merge patch."""
    return {
        objects.DECISION: str(decision),
        objects.PRODUCTION: production.model_dump_json(),
        objects.STAGED: staged.model_dump_json() if staged is not None else None,
        objects.APPLIED: f"{time.time():.3f}",
    }


def key_of(pin: Pin) -> str:
    """The first digits of the bundle's key, as its objects' names have them."""
    return pin.bundle.rpartition(":")[2]


def _slot(pin: Pin | None) -> SlotSpec | None:
    if pin is None:
        return None
    return SlotSpec(version=pin.version, package_digest=pin.package_digest, bundle=pin.bundle, tolerance=pin.tolerance)


def _directed(document: Document) -> tuple[str | None, str | None]:
    """The keys of the bundles to which requests go: the champion's, the challenger's."""
    if document["kind"] == "Service":
        key = (document["spec"].get("selector") or {}).get(objects.BUNDLE_LABEL)
        return (None if key == objects.NOTHING else key), None
    model = document["metadata"]["name"]
    [rule] = document["spec"]["rules"]
    keys = [_key(model, backend) for backend in rule.get("backendRefs") or []]
    copied = [_key(model, one["requestMirror"]["backendRef"]) for one in rule.get("filters") or []]
    beside = [*keys[1:], *copied]
    return (keys[0] if keys else None), (beside[0] if beside else None)


def _pending(route: Document) -> str | None:
    """Why the Gateway does not direct requests by the present route.

    https://gateway-api.sigs.k8s.io/reference/spec/#routeparentstatus
    """
    generation = route["metadata"].get("generation", 0)
    parents = (route.get("status") or {}).get("parents") or []
    found = [condition for parent in parents for condition in parent.get("conditions") or []]
    present = {one["type"]: one for one in found if one.get("observedGeneration", generation) >= generation}
    if "Accepted" not in present:
        return "the Gateway has not taken over the present route"
    refused = [
        one for one in present.values() if one["type"] in ("Accepted", "ResolvedRefs") and one["status"] != "True"
    ]
    return "; ".join(f"the Gateway says {one.get('reason')}: {one.get('message')}" for one in refused) or None


def _key(model: str, backend: Mapping[str, Any]) -> str:
    return str(backend["name"]).removeprefix(f"{model}-")


@dataclass(frozen=True)
class DeploymentObservation:
    """A bundle's Deployment.

    Args:
        pods: that are not being removed.
        failure: why no pod becomes ready; None: nothing says so.
    """

    key: str
    document: Document
    pods: tuple[Document, ...]
    failure: str | None

    @property
    def annotations(self) -> Mapping[str, str]:
        """Of the Deployment."""
        found: Mapping[str, str] = self.document["metadata"].get("annotations") or {}
        return found

    @property
    def replicas(self) -> int:
        """How many pods there are to be."""
        return int(self.document["spec"].get("replicas", 1))

    @property
    def ready(self) -> int:
        """How many pods are ready."""
        return sum(map(is_ready, self.pods))

    @property
    def workers(self) -> int:
        """How many worker processes there are to be, in all pods."""
        return self.replicas * int(self.annotations.get(objects.WORKERS, 1))

    @property
    def decision(self) -> int:
        """The last decision that wanted it."""
        return int(self.annotations.get(objects.DECISION, 0))

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
    """

    traffic: TrafficState
    deployments: Mapping[str, DeploymentObservation]
    endpoints: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)

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


def observe(api: ClusterApi, model: str, traffic_kind: str) -> ClusterObservation:
    """Ask the API server.

    Raises:
        ClusterAbsentError, ServingError: it does not answer, or refuses.
    """
    label = {objects.MODEL_LABEL: model, objects.MANAGED_LABEL: "modelyard"}
    traffic = TrafficState.of(api.get(traffic_kind, model))
    service = model if traffic_kind == "Service" else objects.name_of(model, traffic.champion or objects.NOTHING)
    endpoints = cluster_endpoints.of_service(api, service)
    deployments, pods = api.list("Deployment", label), api.list("Pod", label)
    found = {}
    for document in deployments:
        key = document["metadata"]["labels"].get(objects.BUNDLE_LABEL)
        if key is None:  # as `modelyard deploy` writes them
            continue
        own = tuple(
            pod
            for pod in pods
            if pod["metadata"]["labels"].get(objects.BUNDLE_LABEL) == key
            and "deletionTimestamp" not in pod["metadata"]
            and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        )
        found[key] = DeploymentObservation(key, document, own, _failure(document, own))
    keys = {pod["metadata"]["name"]: pod["metadata"]["labels"].get(objects.BUNDLE_LABEL, "") for pod in pods}
    return ClusterObservation(traffic, found, endpoints, keys)


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
