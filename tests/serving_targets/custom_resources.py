"""The definitions of the custom resources that releases use, for a real API server, with subresource `status`."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.serving_targets.control_plane import ControlPlane
from tests.serving_targets.fake_cluster import HTTP_ROUTE
from tests.waiting import eventually

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def define(plane: ControlPlane) -> None:
    """Define HTTPRoute and InferenceService, and wait until the API server has them."""
    route = {"type": "object", "properties": {"spec": _structural(HTTP_ROUTE["properties"]["spec"]), "status": OPEN}}
    service = {"type": "object", "properties": {"spec": OPEN, "status": OPEN}}
    for kind, plural, group, version, schema in (
        ("HTTPRoute", "httproutes", "gateway.networking.k8s.io", "v1", route),
        ("InferenceService", "inferenceservices", "serving.kserve.io", "v1beta1", service),
    ):
        approved = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2672"}
        form = {"name": version, "served": True, "storage": True, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}  # fmt: skip
        document = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}", "annotations": approved},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "scope": "Namespaced",
                "versions": [form],
            },
        }
        plane.admin("POST", PATH, document)
        place = f"/apis/{group}/{version}/namespaces/models/{plural}"
        eventually(partial(plane.admin, "GET", place), f"the API server has {plural}")


def withdraw(plane: ControlPlane, name: str) -> None:
    """Remove a definition, and wait until the API server has no such objects any more."""
    plural, _, group = name.partition(".")
    plane.admin("DELETE", f"{PATH}/{name}")
    eventually(lambda: plane.admin("GET", f"{PATH}/{name}") is None, f"{name} is not defined")

    def is_unknown() -> bool:
        found = plane.admin("GET", f"/apis/{group}")
        return found is None or plural not in str(found)

    eventually(is_unknown, f"the API server has no {plural}")


def _structural(schema: Any) -> Any:
    """As a definition has it: unknown fields are dropped or refused by the server itself, `const` is not known."""
    if not isinstance(schema, dict):
        return schema
    found = {key: _structural(value) for key, value in schema.items() if key not in ("additionalProperties", "const")}
    return found | ({"type": "string", "enum": [schema["const"]]} if "const" in schema else {})
