"""The check of `modelyard doctor`: whether the cluster that serves answers, and lets Modelyard read what it must."""

from __future__ import annotations

from components.contracts import settings
from components.core.errors import ModelyardError
from components.core.project import Project
from components.deployment import release_objects as objects
from flows.platform.diagnostics import Finding
from flows.serving_targets.cluster_api import connect


def finding(project: Project) -> Finding:
    """One finding; "ok" where no cluster is named.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    found = settings.read(project.root).kubernetes
    if found is None:
        return Finding("cluster", "ok", "none serves")
    labels = {objects.MANAGED_LABEL: "modelyard"}
    try:
        api = connect(found)
        count = len(api.list("Deployment", labels))
        api.list("Pod", labels)
        api.list("EndpointSlice", labels)
        if found.form == "kserve":
            count += len(api.list("InferenceService", labels))
        api.get("Secret", objects.controller_secret("doctor"))
        api.get("Service" if found.gateway is None else "HTTPRoute", "doctor")
    except ModelyardError as error:
        said = "; ".join(str(part) for part in (error.what, error.where, error.got) if part)
        return Finding("cluster", "fail", said, str(error.next_step or "docs/kubernetes.md"))
    return Finding("cluster", "ok", f"{api.place} answers: {count} Deployments")
