"""The InferenceService of a bundle that a release makes, against the types that KServe publishes."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from components.contracts.kubernetes_settings import KubernetesSettings
from components.deployment import release_kserve, release_objects, resources
from tests.deployment import kserve_schema
from tests.deployment.small_facts import facts

IMAGE = f"registry.example/ml/digits@sha256:{'1' * 64}"
SETTINGS = KubernetesSettings(namespace="models", form="kserve", replicas=2, max_replicas=5, pull_secret="pull")  # noqa: S106


def written(settings: KubernetesSettings = SETTINGS, **changes: Any) -> dict[str, Any]:
    about = facts(**changes)
    return release_kserve.inference_service(about, IMAGE, settings, resources.of_service(about))


@pytest.mark.parametrize("asks_for_keys", [True, False])
def test_kserve_takes_what_is_written(asks_for_keys: bool) -> None:
    document = written(asks_for_keys=asks_for_keys)
    kserve_schema.validate(document)
    predictor = document["spec"]["predictor"]
    [container] = predictor["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", IMAGE)
    assert container["ports"] == [{"name": "http1", "containerPort": 3000, "protocol": "TCP"}]
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names))
    assert ("PROTOCOL" in names) == asks_for_keys  # `facts` speaks the Open Inference Protocol where it asks for keys
    assert "MODELYARD_SERVICE" in names
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 5)
    assert predictor["imagePullSecrets"] == [{"name": "pull"}]
    assert "serviceAccountName" not in predictor


def test_without_an_autoscaler_the_number_of_pods_is_fixed() -> None:
    predictor = written(SETTINGS.model_copy(update={"max_replicas": None}))["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 2)


def test_the_pods_are_found_by_the_labels_that_the_service_selects() -> None:
    """KServe copies the object's labels to the pods: no other version has the same, and none changes at a release."""
    document = written()
    match = release_objects.selector("digits", "ab" * 6)
    assert match.items() <= document["metadata"]["labels"].items()
    assert release_objects.DECISION not in document["metadata"]["annotations"]
    beside = release_kserve.companions("digits", "ab" * 6, SETTINGS, 7)
    assert list(beside) == ["PodDisruptionBudget"]  # the autoscaler is KServe's
    kubernetes_validate.validate(beside["PodDisruptionBudget"], "1.37", strict=True)
    assert beside["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": match}
    assert beside["PodDisruptionBudget"]["metadata"]["annotations"] == {release_objects.DECISION: "7"}


@pytest.mark.parametrize(
    ("part", "key"), [("predictor", "canary_traffic_percent"), ("predictor", "restart"), ("spec", "canaries")]
)
def test_the_schema_refuses_what_kserve_does_not_know(part: str, key: str) -> None:
    document = copy.deepcopy(written())
    (document["spec"]["predictor"] if part == "predictor" else document["spec"])[key] = 10
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        kserve_schema.validate(document)


def test_the_keys_of_kserve_are_those_of_its_schema() -> None:
    known = kserve_schema.schema()["definitions"]["V1beta1PredictorSpec"]["properties"]
    assert kserve_schema.own_keys() <= known.keys()
