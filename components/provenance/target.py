"""What a person names to be verified: a bundle, a package, MODEL@ALIAS, MODEL:VERSION, or the URL of a service."""

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
from components.provenance.chain import REGISTRY_AWAY, Claim, Pieces
from components.registry import versions
from components.registry.api import Api, MissingError

TIMEOUT_SECONDS = 10.0
FORMS = "a bundle's or package's folder, MODEL@ALIAS, MODEL:VERSION, or the URL of a service"


def pieces(project: Project, target: str, api: Api | None) -> list[Pieces]:
    """What is at hand of what was named; of a service, one for each package that its workers say they serve.

    Raises:
        UsageError: it is none of these.
        NotFoundError: no such model, alias or version.
        RegistryError: only the registry knows it, and it does not run.
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
        built = project.bundles / "bentos" / match[1] / match[2]
        if not built.exists() and (removed := tombstone.read(project, "bundle", target)) is not None:
            return [Pieces(match[1], number=removed.version)]
        return [_of_folder(built)] if built.exists() else [_of_number(project, match[1], match[2], api)]
    raise UsageError("nothing that can be verified", got=target, expected=FORMS)


def claims(url: str, credentials: Credentials | None = None) -> list[tuple[str, Claim]]:
    """What the workers of a service say they serve: the model, and each version with those who serve it.

    A service without `/status` (a Bento elsewhere), or one of another project, is asked at `/model`.

    Args:
        credentials: sent if the service is of this project.
    """
    try:
        with http_client.client(credentials, url, timeout=TIMEOUT_SECONDS) as client:
            answer = client.get("/status")
            if answer.status_code in (401, 404):
                about = client.get("/model").raise_for_status().json()
                return [(about["name"], Claim(url, about["version"], about["package"], "the worker that answered"))]
        said = ServiceStatus.model_validate_json(answer.raise_for_status().content)
    except httpx.HTTPError as error:
        raise ServingError("the service does not answer", where=url, got=error) from error
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise ServingError("this is no service of ours", where=url, got=error) from error
    serving: dict[tuple[str, str], list[str]] = defaultdict(list)
    for worker in said.workers:
        if worker.champion is not None:
            serving[worker.champion.version, worker.champion.package_digest].append(str(worker.worker))
    if not serving:
        raise ServingError("the service serves nothing now", where=url)
    return [
        (said.model, Claim(url, version, package, f"{len(workers)} of {said.expected} workers"))
        for (version, package), workers in sorted(serving.items())
    ]


def _credentials(project: Project, url: str) -> Credentials | None:
    """The project's secret, for a server that is shown to know it already; nothing for any other."""
    secret = project_door.secret_of(project)
    at = httpx.URL(url)
    if secret is None or at.host not in ("127.0.0.1", "localhost") or at.port is None:
        return None
    return Credentials("", secret) if challenge.is_ours(at.host, at.port, secret) else None


def _of_claim(project: Project, name: str, claim: Claim) -> Pieces:
    return Pieces(name, _bundles(project, name, claim.version), number=claim.version, claim=claim)


def _of_folder(folder: Path) -> Pieces:
    """Pieces of a folder that was named; its links say what is wrong with its seal."""
    settings = bundle_source(folder) / "serving.json"
    if settings.is_file():
        try:
            said = json.loads(settings.read_bytes())
            return Pieces(str(said["model"]), (folder,), number=str(said["version"]))
        except (ValueError, KeyError, TypeError):
            return Pieces(folder.parent.name, (folder,))
    try:
        return Pieces(str(manifests.load(folder, "package").facts["pipeline"]), package=folder)
    except NotFoundError as error:
        raise UsageError("neither a bundle nor a package", where=str(folder), expected=FORMS) from error
    except CorruptArtifactError:
        return Pieces(folder.name, package=folder)


def _of_alias(project: Project, name: str, alias: str, api: Api | None) -> Pieces:
    found = versions.by_alias(_registry(api), name, alias)
    if found is None:
        raise NotFoundError(f"{name} has no {alias}", next_step=f"`modelyard models {name}`")
    return Pieces(name, _bundles(project, name, found.version), number=found.version)


def _of_number(project: Project, name: str, number: str, api: Api | None) -> Pieces:
    try:
        found = versions.by_number(_registry(api), name, number)
    except MissingError as error:
        raise NotFoundError(f"{name} has no version {number}", next_step=f"`modelyard models {name}`") from error
    return Pieces(name, _bundles(project, name, found.version), number=found.version)


def _registry(api: Api | None) -> Api:
    if api is None:
        raise RegistryError(REGISTRY_AWAY, next_step="`modelyard up`; a bundle's folder can be verified without it")
    return api


def _bundles(project: Project, name: str, number: str) -> tuple[Path, ...]:
    """The bundles here of a version; one whose seal cannot be read may be of it, and is said to be broken."""
    found = []
    for folder in sorted((project.bundles / "bentos" / name).glob("*/")):
        try:
            if manifests.load(folder / "src", "bundle").facts["version"] == number:
                found.append(folder)
        except NotFoundError:  # left by a killed build
            continue
        except ModelyardError:
            found.append(folder)
    return tuple(found)
