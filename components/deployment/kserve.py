"""A KServe `InferenceService` whose predictor is the bundle's image; it states the protocol that the bundle speaks.

Standard ("raw") deployment mode, in which the predictor becomes a Deployment: Knative takes neither `preStop` nor
`topologySpreadConstraints`.
"""

from __future__ import annotations

from typing import Any

from components.deployment import pod
from components.deployment.container import PORT, DeploymentOptions
from components.deployment.kubernetes import metadata, network_policy, service_account, with_kustomization
from components.deployment.resources import REPLICA_SCALING_PERCENT, ServiceResources
from components.deployment.service_facts import ServiceFacts

CONTAINER = "kserve-container"  # the name by which KServe finds the predictor among the containers
REQUEST_SECONDS = 60  # as the service's own limit


def files(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, str]:
    """The manifests by file name."""
    manifests = {
        "serviceaccount.yaml": service_account(facts),
        "inferenceservice.yaml": inference_service(facts, options, resources),
        "networkpolicy.yaml": network_policy(facts, options, PORT),
    }
    return with_kustomization(manifests, {"inferenceservice.yaml": resources.notes})


def inference_service(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, Any]:
    """The `InferenceService`; pods carry its labels and annotations."""
    container = pod.container(CONTAINER, facts, options, resources)
    if facts.speaks_open_inference:
        container["env"] = [*container["env"], {"name": "PROTOCOL", "value": "v2"}]
    container["ports"] = [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}]
    about = metadata(facts)
    about["annotations"] = {
        **about["annotations"],
        "serving.kserve.io/deploymentMode": "RawDeployment",
        "serving.kserve.io/autoscalerClass": "hpa",
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": about,
        "spec": {
            "predictor": {
                "minReplicas": options.replicas,
                "maxReplicas": options.max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": REPLICA_SCALING_PERCENT,
                "timeout": REQUEST_SECONDS,
                "deploymentStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
                },
                **pod.spec(facts, [container]),
            }
        },
    }
