"""What KServe says of a bundle's InferenceService: https://kserve.github.io/website/docs/reference/crd-api"""

from __future__ import annotations

import json
from collections.abc import Mapping

from flows.serving_targets.cluster_api import Document

FAILED_TRANSITIONS = frozenset({"BlockedByFailedLoad", "InvalidSpec"})
READY_CONDITION = "PredictorReady"  # `Ready` also waits for KServe's ingress, which gets no request of ours


def made_by(deployment: Document) -> str | None:
    """The name of the InferenceService that owns a Deployment; None: none does."""
    owners = deployment["metadata"].get("ownerReferences") or []
    return next((str(one["name"]) for one in owners if one["kind"] == "InferenceService"), None)


def is_pod_of(pod: Document, deployment: Document) -> bool:
    """Whether a pod is one of a Deployment that KServe has made: its labels hold the Deployment's selector."""
    chosen: Mapping[str, str] = deployment["spec"]["selector"]["matchLabels"]
    return chosen.items() <= (pod["metadata"].get("labels") or {}).items()


def replicas(service: Document, deployment: Document | None) -> int:
    """How many pods there are to be: at least what the InferenceService says."""
    least = int(service["spec"]["predictor"].get("minReplicas", 1))
    return max(least, int(deployment["spec"].get("replicas", 1)) if deployment is not None else 0)


def is_ready(service: Document) -> bool:
    """Whether KServe says that the predictor is ready, of the present object."""
    status = service.get("status") or {}
    generation = service["metadata"].get("generation", 0)
    is_present = status.get("observedGeneration", generation) >= generation
    return is_present and _conditions(service).get(READY_CONDITION, {}).get("status") == "True"


def failure(service: Document) -> str | None:
    """Why KServe makes no pods of it, or none that are ready, as far as it says that this will not change."""
    model = (service.get("status") or {}).get("modelStatus") or {}
    if model.get("transitionStatus") in FAILED_TRANSITIONS:
        last = model.get("lastFailureInfo") or {}
        said = ", ".join(str(last[name]) for name in ("reason", "message") if last.get(name))
        return f"KServe: {model['transitionStatus']}: {said}"[:400]
    condition = _conditions(service).get(READY_CONDITION, {})
    if condition.get("status") == "False" and condition.get("reason") == "ProgressDeadlineExceeded":
        return f"KServe: {condition['reason']}: {json.dumps(condition.get('message', ''))}"[:400]
    return None


def _conditions(service: Document) -> Mapping[str, Document]:
    found = (service.get("status") or {}).get("conditions") or []
    return {one["type"]: one for one in found}
