"""Which models a cluster holds, by one list; and which may be placed there at all."""

from __future__ import annotations

from components.contracts import settings
from components.core.errors import UsageError
from components.core.project import Project
from components.deployment import release_objects as objects
from components.deployment.service_facts import DNS_LABEL
from flows.serving_targets.cluster_api import connect

MANAGED = {objects.MANAGED_LABEL: "modelyard"}


def placed(project: Project) -> frozenset[str] | None:
    """The models of which the namespace holds an object of Modelyard, of whichever project; None: no cluster serves.

    A model that is not among them has no version there; one that is may have none, where `modelyard deploy` wrote it.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        UsageError: there are no credentials, or the client is not installed.
        ClusterAbsentError, ServingError: the API server does not answer, or refuses.
    """
    found = settings.read(project.root).kubernetes
    if found is None:
        return None
    api = connect(found)
    documents = api.list("Deployment", MANAGED)
    if found.form == "kserve":
        documents += api.list("InferenceService", MANAGED)
    return frozenset(one["metadata"]["labels"].get(objects.MODEL_LABEL, "") for one in documents)


def check(project: Project, model: str) -> None:
    """Refuse a model whose name no object of a cluster can have; nothing where no cluster serves.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        UsageError: the name is no DNS label.
    """
    if settings.read(project.root).kubernetes is not None and DNS_LABEL.fullmatch(model) is None:
        raise UsageError(
            f"the name {model} cannot be of a service in a cluster",
            where=str(project.pipeline_file(model).relative_to(project.root)),
            got=model,
            expected="a DNS label: small letters, digits and hyphens, at most 63, no hyphen at the end",
            next_step="rename the pipeline's file",
        )
