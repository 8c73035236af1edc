"""What the registry says, for pages: aliases of all models, the versions of one, with links to its own pages."""

from __future__ import annotations

from typing import Any

from components.core.errors import RegistryError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from flows.platform import connections
from flows.releases.refusal import REASON, REPORT, STATE

TIMEOUT_SECONDS = 5.0
SHOWN_TAGS = ("modelyard.data_digest", "modelyard.git_commit", "modelyard.lock_digest", "modelyard.train_key")


def api_of(project: Project) -> Api:
    """The registry; a request fails at once where it does not answer.

    Raises:
        RegistryError: the project has none yet.
    """
    server = connections.of(project).mlflow
    if server.url is None:
        raise RegistryError("the registry was never started here", next_step="`modelyard up`")
    return Api(server.url, server.credentials, patience_seconds=0, timeout_seconds=TIMEOUT_SECONDS)


def aliases(project: Project) -> dict[str, dict[str, str]]:
    """The aliases of all models.

    Raises:
        RegistryError: it does not answer.
    """
    with api_of(project) as api:
        return versions.aliases(api)


def versions_of(project: Project, name: str) -> list[dict[str, Any]]:
    """The versions of a model, newest first; [] for a model that the registry does not know.

    Raises:
        RegistryError: it does not answer.
    """
    from components.registry.api import MissingError

    with api_of(project) as api:
        try:
            found = versions.versions(api, name)
        except MissingError:
            return []
        return [
            {
                "version": one.version,
                "aliases": list(one.aliases),
                "created_ms": one.created_ms,
                "state": one.tags.get(STATE),
                "reason": one.tags.get(REASON),
                "report": one.tags.get(REPORT),
                "package_digest": one.package_digest,
                "run": one.run_id,
                "tags": {tag: one.tags[tag] for tag in SHOWN_TAGS if tag in one.tags},
                "description": one.description.partition("\n")[0],
                "url": one.url(api.url),
            }
            for one in found
        ]
