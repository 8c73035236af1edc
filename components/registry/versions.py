"""Registered models: versions, aliases, tags, and the packages of versions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import CorruptArtifactError, RegistryError, ServingError
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.package import Package
from components.registry.alias_notes import EXPECTED_HEADER, REASON_HEADER
from components.registry.api import Api, MissingError, TakenError

ANYTHING = "*"  # an alias may name any version, or none
PACKAGE_KEY = "modelyard.package_key"
PACKAGE_DIGEST = "modelyard.package_digest"


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    version: str
    source: str
    run_id: str
    tags: dict[str, str]
    aliases: tuple[str, ...]
    created_ms: int
    description: str = ""

    @property
    def package_digest(self) -> str | None:
        """Digest of the package; None for a version that Modelyard did not register."""
        return self.tags.get(PACKAGE_DIGEST)

    @property
    def package_key(self) -> str:
        """Key of the package.

        Raises:
            ServingError: Modelyard did not register this version: the tag is missing or is not a digest.
        """
        key = self.tags.get(PACKAGE_KEY)
        if key is None or not digest.is_sha256(key):
            raise ServingError(
                "this version was not registered by Modelyard",
                where=f"{self.name} version {self.version}, tag {PACKAGE_KEY}",
                got="no such tag" if key is None else repr(key),
                expected="a sha256 digest, 64 hex digits",
                next_step="choose a version that `modelyard run` registered",
            )
        return key

    def url(self, server: str) -> str:
        """URL of the version in the UI."""
        return f"{server}/#/models/{self.name}/versions/{self.version}"


def ensure_model(api: Api, name: str, description: str) -> None:
    """Create the registered model of that name if it does not exist."""
    with contextlib.suppress(TakenError):
        api.post("registered-models/create", {"name": name, "description": description})


def names(api: Api) -> list[str]:
    """Names of all registered models."""
    return [str(model["name"]) for model in api.pages("GET", "registered-models/search", "registered_models", {})]


def versions(api: Api, name: str) -> list[Version]:
    """All versions of a model, newest first, with their aliases."""
    model = api.get("registered-models/get", name=name)["registered_model"]
    aliases: dict[str, list[str]] = {}
    for entry in model.get("aliases", ()):
        aliases.setdefault(str(entry["version"]), []).append(entry["alias"])
    model_versions = _search(api, f"name='{name}'")
    return [replace(version, aliases=tuple(sorted(aliases.get(version.version, ())))) for version in model_versions]


def all_versions(api: Api) -> list[Version]:
    """All versions of all models, without their aliases."""
    return _search(api, "")


def by_key(api: Api, name: str, package_key: str) -> Version | None:
    """The version registered under a key; of several (concurrent registrations) the lowest."""
    model_versions = _search(api, f"name='{name}' and tags.`{PACKAGE_KEY}` = '{package_key}'")
    return min(model_versions, key=lambda version: int(version.version), default=None)


def by_alias(api: Api, name: str, alias: str) -> Version | None:
    """The version that an alias names, or None."""
    try:
        response = api.get("registered-models/alias", name=name, alias=alias)
    except MissingError:
        return None
    except RegistryError as error:
        if "alias" in error.what and "not found" in error.what:
            return None
        raise
    return _version(response["model_version"])


def by_number(api: Api, name: str, version: str) -> Version:
    """The version of that number.

    Raises:
        MissingError: there is no such version.
    """
    return _version(api.get("model-versions/get", name=name, version=version)["model_version"])


def has_package(api: Api, name: str, version: str, package_digest: str | None) -> bool:
    """Whether there is a version of that number, and it is this package as far as is known."""
    try:
        found = by_number(api, name, version).package_digest
    except MissingError:
        return False
    return found is None or package_digest is None or found == package_digest


def create(
    api: Api, name: str, source: str, run_id: str, model_id: str, tags: dict[str, str], description: str
) -> Version:
    """Create a version with tags."""
    body = {
        "name": name,
        "source": source,
        "run_id": run_id,
        "model_id": model_id,
        "description": description,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    return _version(api.post("model-versions/create", body)["model_version"])


def delete(api: Api, version: Version) -> None:
    """Delete a version."""
    api.delete("model-versions/delete", {"name": version.name, "version": version.version})


def set_alias(
    api: Api, name: str, alias: str, version: str, reason: str = "", *, expected: str | None = ANYTHING
) -> None:
    """Point an alias at a version.

    Args:
        reason: the command that a person typed; the project's own MLflow server notes it.
        expected: the version that the alias names now, None: none. The project's own server changes nothing if somebody
            else has set the alias since; MLflow itself cannot be asked that.

    Raises:
        AliasMovedError: the alias names another version than expected.
    """
    body = {"name": name, "alias": alias, "version": version}
    api.post("registered-models/alias", body, headers=_alias_headers(reason, expected))


def delete_alias(api: Api, name: str, alias: str, reason: str = "", *, expected: str | None = ANYTHING) -> None:
    """Delete an alias; a missing alias is no error.

    Raises:
        AliasMovedError: as `set_alias`.
    """
    with contextlib.suppress(MissingError):
        api.delete("registered-models/alias", {"name": name, "alias": alias}, headers=_alias_headers(reason, expected))


def _alias_headers(reason: str, expected: str | None) -> dict[str, str]:
    headers = {REASON_HEADER: reason.encode("ascii", "replace").decode()} if reason else {}
    return headers if expected == ANYTHING else {**headers, EXPECTED_HEADER: expected or ""}


def aliases(api: Api) -> dict[str, dict[str, str]]:
    """Aliases of every registered model with their version numbers, in one request."""
    models = api.pages("GET", "registered-models/search", "registered_models", {"max_results": 200})
    return {
        str(model["name"]): {entry["alias"]: str(entry["version"]) for entry in model.get("aliases", ())}
        for model in models
    }


def aliases_of(api: Api, name: str) -> dict[str, str]:
    """Aliases of a model with their version numbers; {} for a missing model."""
    try:
        model = api.get("registered-models/get", name=name)["registered_model"]
    except MissingError:
        return {}
    return {entry["alias"]: str(entry["version"]) for entry in model.get("aliases", ())}


def tag_version(api: Api, name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    for key, value in tags.items():
        body = {"name": name, "version": version, "key": key, "value": value}
        api.post("model-versions/set-tag", body)


def untag_version(api: Api, name: str, version: str, keys: Iterable[str]) -> None:
    """Remove tags of a version."""
    for key in keys:
        with contextlib.suppress(MissingError):
            api.delete("model-versions/delete-tag", {"name": name, "version": version, "key": key})


def tag_model(api: Api, name: str, key: str, value: str) -> None:
    """Set a tag of a registered model."""
    api.post("registered-models/set-tag", {"name": name, "key": key, "value": value})


def model_tags(api: Api, name: str) -> dict[str, str]:
    """The tags of a registered model."""
    model = api.get("registered-models/get", name=name)["registered_model"]
    return {tag["key"]: tag["value"] for tag in model.get("tags", ())}


def describe(api: Api, name: str, version: str, description: str) -> None:
    """Set a version's description."""
    api.patch("model-versions/update", {"name": name, "version": version, "description": description})


def download(api: Api, version: Version, target: Path) -> Package:
    """Download the package of a version to a folder and verify it; the folder is not written on failure.

    Raises:
        CorruptArtifactError: a digest differs from the manifest's or the version's.
        RegistryError: the version has no Modelyard package.
    """
    artifact_uri = f"{version.source}/artifacts/package"
    if version.package_digest is None:
        raise RegistryError("this version has no Modelyard package", where=f"{version.name} version {version.version}")
    with atomic.folder(target) as fresh:
        api.download_file(artifact_uri, manifests.FILE_NAME, fresh / manifests.FILE_NAME)
        manifest = manifests.load(fresh, "package")
        if manifest.digest != version.package_digest:
            raise CorruptArtifactError(
                "the registry holds another package than the version names",
                where=version.source,
                got=manifest.digest,
                expected=version.package_digest,
            )
        for name in manifest.files:
            path = fresh / name
            if not path.resolve().is_relative_to(fresh.resolve()):
                raise CorruptArtifactError("a file name that leads outside", where=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            api.download_file(artifact_uri, name, path)
        manifests.verify(fresh, "package")
    return Package.open(target, verify=False)


def local_or_download(api: Api, version: Version, folder: Path) -> Package:
    """The package of a version in `folder`; downloaded from the registry if the folder has no package.

    Raises:
        CorruptArtifactError: the package in `folder` differs from its manifest, or is of another version.
    """
    if not (folder / manifests.FILE_NAME).exists():
        return download(api, version, folder)
    package = Package.open(folder)
    if package.digest != version.package_digest:
        raise CorruptArtifactError(
            "another package than the version names",
            where=str(folder),
            got=package.digest,
            expected=version.package_digest,
            next_step="remove this folder; the registry's package takes its place",
        )
    return package


def _search(api: Api, filter_text: str) -> list[Version]:
    request = {"filter": filter_text, "max_results": 200, "order_by": ["version_number DESC"]}
    model_versions = [_version(entry) for entry in api.pages("GET", "model-versions/search", "model_versions", request)]
    return sorted(model_versions, key=lambda version: -int(version.version))


def _version(document: dict[str, Any]) -> Version:
    return Version(
        name=document["name"],
        version=str(document["version"]),
        source=document.get("source", ""),
        run_id=document.get("run_id", ""),
        tags={tag["key"]: tag["value"] for tag in document.get("tags", ())},
        aliases=tuple(sorted(document.get("aliases", ()))),
        created_ms=int(document.get("creation_timestamp", 0)),
        description=document.get("description", ""),
    )
