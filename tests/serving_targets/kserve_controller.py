"""What KServe's controller does with an InferenceService in Standard mode, for tests: no KServe is at hand.

As in KServe's `raw` reconcilers: a Deployment `NAME-predictor` whose pods carry the labels and annotations of the
object, rolled when its template changes, of at least `minReplicas`; the object's conditions follow the Deployment.
https://github.com/kserve/kserve/tree/master/pkg/controller/v1beta1/inferenceservice/reconcilers
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Request = Callable[[str, str, Any], "dict[str, Any] | None"]  # method, path, body; None: there is no such object
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
DEPLOYMENTS = "/apis/apps/v1/namespaces/models/deployments"
NOT_OF_PODS = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "deploymentStrategy")


class KServeController:
    """One namespace's.

    Args:
        request: one request to the API server.
        write_status: writes the status of an InferenceService.

    Attributes:
        rollouts: names of Deployments whose template was changed: it never is by Modelyard.
        broken: names of InferenceServices that KServe refuses.
    """

    def __init__(self, request: Request, write_status: Callable[[str, dict[str, Any]], None]) -> None:
        self.request, self.write_status = request, write_status
        self.rollouts: list[str] = []
        self.broken: set[str] = set()

    def step(self) -> None:
        """Bring each InferenceService one step further."""
        services = (self.request("GET", SERVICES, None) or {}).get("items", [])
        present = {f"{one['metadata']['name']}-predictor" for one in services}
        found = (self.request("GET", f"{DEPLOYMENTS}?labelSelector=component=predictor", None) or {}).get("items", [])
        for deployment in found:
            if deployment["metadata"]["name"] not in present:  # the garbage collector
                self.request("DELETE", f"{DEPLOYMENTS}/{deployment['metadata']['name']}", {})
        for service in services:
            self._reconcile(service)

    def _reconcile(self, service: dict[str, Any]) -> None:
        name = service["metadata"]["name"]
        if name in self.broken:
            last = {"reason": "InvalidPredictorSpec", "message": "no runtime takes it"}
            model = {"transitionStatus": "InvalidSpec", "lastFailureInfo": last}
            return self._write(service, "False", {"modelStatus": model})
        due, path = _deployment(service), f"{DEPLOYMENTS}/{name}-predictor"
        deployment = self.request("GET", path, None)
        if deployment is None:
            self.request("POST", DEPLOYMENTS, due)
            return self._write(service, "False", {})
        least = service["spec"]["predictor"]["minReplicas"]
        if 0 < deployment["spec"]["replicas"] < least:  # its autoscaler, which leaves a Deployment of no pods alone
            self.request("PATCH", path, {"spec": {"replicas": least}})
        present, template = deployment["spec"]["template"]["metadata"], due["spec"]["template"]["metadata"]
        if any(present[part] != template[part] for part in ("labels", "annotations")):
            self.rollouts.append(name)
            self.request("PATCH", path, {"spec": {"template": due["spec"]["template"]}})
        ready = (deployment.get("status") or {}).get("readyReplicas", 0) >= deployment["spec"]["replicas"]
        self._write(service, "True" if ready else "False", {})
        return None

    def _write(self, service: dict[str, Any], ready: str, more: dict[str, Any]) -> None:
        conditions = [{"type": type, "status": ready} for type in ("PredictorReady", "Ready")]
        generation = service["metadata"]["generation"]
        status = {"observedGeneration": generation, "conditions": conditions, **more}
        if service.get("status") != status:
            self.write_status(service["metadata"]["name"], status)


def _deployment(service: dict[str, Any]) -> dict[str, Any]:
    name, predictor = f"{service['metadata']['name']}-predictor", service["spec"]["predictor"]
    labels = {**service["metadata"]["labels"], "app": f"isvc.{name}", "component": "predictor"}
    about = {"labels": labels, "annotations": service["metadata"]["annotations"]}
    owner = {"apiVersion": service.get("apiVersion", "serving.kserve.io/v1beta1"), "kind": "InferenceService",
             "name": service["metadata"]["name"], "uid": service["metadata"]["uid"], "controller": True}  # fmt: skip
    pod = {key: value for key, value in predictor.items() if key not in NOT_OF_PODS}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **about, "ownerReferences": [owner]},
        "spec": {
            "replicas": predictor["minReplicas"],
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "strategy": predictor["deploymentStrategy"],
            "template": {"metadata": about, "spec": pod},
        },
    }
