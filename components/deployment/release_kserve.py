"""A bundle as a KServe `InferenceService` of its own; KServe makes the Deployment, a Service and the autoscaler.

Standard ("raw") mode. One object a bundle: one object for all bundles would roll its pods at a release, and again on
the way back. KServe's `canaryTrafficPercent` acts in Knative mode alone, which scales the version without requests to
zero and takes no `preStop`. KServe copies labels and annotations to the pods, so neither ever changes.
https://kserve.github.io/website/docs/reference/crd-api
"""

from __future__ import annotations

from typing import Any

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.errors import UsageError
from components.deployment import kserve, pod, release_objects
from components.deployment.container import DeploymentOptions
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.identity import digest

SUFFIX = "-isvc"
PREDICTOR = "-predictor"  # KServe's suffix of what it makes of the predictor
VISIBILITY = "networking.kserve.io/visibility"


def name_of(model: str, key: str) -> str:
    """The name of a bundle's InferenceService.

    Raises:
        UsageError: the Service that KServe would make of it has a name too long for a DNS label.
    """
    name = f"{release_objects.name_of(model, key)}{SUFFIX}"
    most = release_objects.LONGEST_NAME - len(PREDICTOR)
    if len(name) > most:
        raise UsageError(
            "the pipeline's name is too long for KServe",
            got=model,
            expected=f"at most {most - len(name) + len(model)} characters",
            next_step='rename the pipeline, or leave out form = "kserve" in [kubernetes]',
        )
    return name


def inference_service(
    facts: ServiceFacts, image: str, settings: KubernetesSettings, resources: ServiceResources
) -> dict[str, Any]:
    """A bundle's InferenceService; the model's Service or route directs requests to its pods, not KServe's ingress."""
    template = release_objects.deployment(facts, image, settings, resources, 0)["spec"]["template"]
    options = DeploymentOptions(image, settings.replicas, settings.max_replicas or settings.replicas)
    written = kserve.inference_service(facts, options, resources)
    own = {name: value for name, value in written["spec"]["predictor"].items() if name not in pod.spec(facts, [])}
    [container] = written["spec"]["predictor"]["containers"]
    [released] = template["spec"]["containers"]
    environment = {one["name"]: one for one in (*container["env"], *released["env"])}
    container = {**container, "env": list(environment.values())}
    about = written["metadata"]["annotations"] | template["metadata"]["annotations"]
    return {
        "apiVersion": written["apiVersion"],
        "kind": written["kind"],
        "metadata": {
            "name": name_of(facts.model, digest.short(facts.bundle_key)),
            "labels": {**template["metadata"]["labels"], VISIBILITY: "cluster-local"},
            "annotations": about,
        },
        "spec": {"predictor": {**own, **template["spec"], "containers": [container]}},
    }


def companions(model: str, key: str, settings: KubernetesSettings, decision: int) -> dict[str, dict[str, Any]]:
    """What Modelyard makes beside it, by kind: a disruption budget with the decision, and for a route a Service."""
    match = release_objects.selector(model, key)
    labels = release_objects.own_labels(model, key)
    about = {"metadata": {"name": release_objects.name_of(model, key), "labels": labels}}
    found = release_objects.companions({**about, "spec": {"selector": {"matchLabels": match}}}, settings)
    found.pop("HorizontalPodAutoscaler", None)  # KServe's own
    budget = found["PodDisruptionBudget"]
    budget["metadata"] = {**budget["metadata"], "annotations": {release_objects.DECISION: str(decision)}}
    return found
