"""Check an `InferenceService` against the types that KServe publishes, and its predictor as a pod."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

VERSION = "1.37"


@cache
def schema() -> dict[str, Any]:
    """Of KServe 0.21: from the OpenAPI types in its client; a key that it does not know is an error."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "kserve-0.21.json").read_bytes())
    return found


def own_keys() -> set[str]:
    """The keys of a predictor that are not of a pod: those of `ComponentExtensionSpec`."""
    return {
        "annotations", "autoScaling", "batcher", "canaryTrafficPercent", "containerConcurrency", "deploymentStrategy",
        "labels", "logger", "maxReplicas", "minReplicas", "scaleMetric", "scaleMetricType", "scaleTarget", "timeout",
    }  # fmt: skip


def validate(document: dict[str, Any]) -> None:
    """Refuse what KServe's API would.

    Raises:
        jsonschema.ValidationError, kubernetes_validate.ValidationError: it does not meet the schemas.
    """
    jsonschema.validate(document, schema())
    pod = {key: value for key, value in document["spec"]["predictor"].items() if key not in own_keys()}
    metadata = {key: value for key, value in document["metadata"].items() if key in ("name", "labels", "annotations")}
    checked = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    kubernetes_validate.validate(checked, VERSION, strict=True)
