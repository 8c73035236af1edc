"""Targets of a verification: a bundle, a package, MODEL@ALIAS, MODEL:VERSION, or the URL of a service."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import httpx
from pydantic import ValidationError

from components.access import challenge, http_client, project_door
from components.access.secret import Credentials
from components.contracts.serving_spec import ServiceStatus
from components.core.errors import (
    CorruptArtifactError,
    ModelyardError,
    NotFoundError,
    RegistryError,
    ServingError,
    UsageError,
)
from components.core.project import Project
from components.identity import manifest as manifests
from components.provenance import tombstone
from components.provenance.artifact_links import bundle_source
from components.provenance.chain import REGISTRY_NOT_RUNNING, Artifacts, Claim
from components.registry import versions
from components.registry.api import Api, MissingError

TIMEOUT_SECONDS = 10.0
FORMS = "a bundle's or package's folder, an archive of a bundle, MODEL@ALIAS, MODEL:VERSION, or the URL of a service"


def artifacts(project: Project, target: str, api: Api | None) -> list[Artifacts]:
    """The available artifacts of a target; for a service, one entry for each package that its workers report.

    Raises:
        UsageError: the target has none of these forms.
        NotFoundError: no such model, alias or version.
        RegistryError: the target needs the registry, which is not running.
        ServingError: the service does not answer.
    """
    if re.match(r"https?://", target):
        url = target.rstrip("/")
        return [_of_claim(project, name, claim) for name, claim in claims(url, _credentials(project, url))]
    if Path(target).exists():
        return [_of_folder(Path(target).resolve())]
    if match := re.fullmatch(r"([a-z][a-z0-9-]*)@([A-Za-z][A-Za-z0-9_-]*)", target):
        return [_of_alias(project, match[1], match[2], api)]
    if match := re.fullmatch(r"([a-z][a-z0-9-]*):([0-9a-f]+)", target):
        bundle = project.bundles / "bentos" / match[1] / match[2]
        if not bundle.exists() and (record := tombstone.read(project, "bundle", target)) is not None:
            return [Artifacts(match[1], number=record.version)]
        return [_of_folder(bundle)] if bundle.exists() else [_of_number(project, match[1], match[2], api)]
    raise UsageError("nothing that can be verified", got=target, expected=FORMS)


def claims(url: str, credentials: Credentials | None = None) -> list[tuple[str, Claim]]:
    """The model that a service reports, with one claim for each champion and challenger of its workers.

    `/model` is requested if the service has no `/status` (a Bento elsewhere), or belongs to another project.

    Args:
        credentials: credentials of this project's services.
    """
    try:
        with http_client.client(credentials, url, timeout=TIMEOUT_SECONDS) as client:
            response = client.get("/status")
            if response.status_code in (401, 404):
                model = client.get("/model").raise_for_status().json()
                return [(model["name"], Claim(url, model["version"], model["package"], "the worker that answered"))]
        status = ServiceStatus.model_validate_json(response.raise_for_status().content)
    except httpx.HTTPError as error:
        raise ServingError("the service does not answer", where=url, got=error) from error
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise ServingError("this is no service of ours", where=url, got=error) from error
    serving: dict[tuple[str, str, str], int] = defaultdict(int)
    for worker in status.workers:
        for role, slot in (("champion", worker.champion), ("challenger", worker.challenger)):
            if slot is not None and slot.state != "removed":
                serving[role, slot.version, slot.package_digest] += 1
    if not any(role == "champion" for role, _, _ in serving):
        raise ServingError("the service serves nothing now", where=url)
    return [
        (status.model, Claim(url, version, package, f"{role} of {workers} of {status.expected} workers"))
        for (role, version, package), workers in sorted(
            serving.items(), key=lambda one: (one[0][0] != "champion", one[0])
        )
    ]


def _credentials(project: Project, url: str) -> Credentials | None:
    """The project's secret if the server proves that it knows the secret; else None."""
    secret = project_door.secret_of(project)
    address = httpx.URL(url)
    if secret is None or address.host not in ("127.0.0.1", "localhost") or address.port is None:
        return None
    return Credentials("", secret) if challenge.is_ours(address.host, address.port, secret) else None


def _of_claim(project: Project, name: str, claim: Claim) -> Artifacts:
    return Artifacts(name, _bundles(project, name, claim.version), number=claim.version, claim=claim)


def _of_folder(folder: Path) -> Artifacts:
    """The artifacts of a folder; the links report a damaged manifest."""
    settings = bundle_source(folder) / "serving.json"
    if settings.is_file():
        try:
            document = json.loads(settings.read_bytes())
            return Artifacts(str(document["model"]), (folder,), number=str(document["version"]))
        except (ValueError, KeyError, TypeError):
            return Artifacts(folder.parent.name, (folder,))
    try:
        return Artifacts(str(manifests.load(folder, "package").facts["pipeline"]), package=folder)
    except NotFoundError as error:
        raise UsageError("neither a bundle nor a package", where=str(folder), expected=FORMS) from error
    except CorruptArtifactError:
        return Artifacts(folder.name, package=folder)


def _of_alias(project: Project, name: str, alias: str, api: Api | None) -> Artifacts:
    version = versions.by_alias(_registry(api), name, alias)
    if version is None:
        raise NotFoundError(f"{name} has no {alias}", next_step=f"`modelyard models {name}`")
    return Artifacts(name, _bundles(project, name, version.version), number=version.version)


def _of_number(project: Project, name: str, number: str, api: Api | None) -> Artifacts:
    try:
        version = versions.by_number(_registry(api), name, number)
    except MissingError as error:
        raise NotFoundError(f"{name} has no version {number}", next_step=f"`modelyard models {name}`") from error
    return Artifacts(name, _bundles(project, name, version.version), number=version.version)


def _registry(api: Api | None) -> Api:
    if api is None:
        raise RegistryError(
            REGISTRY_NOT_RUNNING, next_step="`modelyard up`; a bundle's folder can be verified without it"
        )
    return api


def _bundles(project: Project, name: str, number: str) -> tuple[Path, ...]:
    """The local bundles of a version, and those with an unreadable manifest: their link is broken."""
    bundles = []
    for folder in sorted((project.bundles / "bentos" / name).glob("*/")):
        try:
            if manifests.load(folder / "src", "bundle").facts["version"] == number:
                bundles.append(folder)
        except NotFoundError:  # left by a killed build
            continue
        except ModelyardError:
            bundles.append(folder)
    return tuple(bundles)
