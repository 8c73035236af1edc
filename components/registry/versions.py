"""Registered models: versions found by key, aliases, where a version's package lies."""

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
from components.registry.alias_notes import REASON_HEADER
from components.registry.api import Api, MissingError, TakenError

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
        """The digest of its package; None for a version that Modelyard did not register."""
        return self.tags.get(PACKAGE_DIGEST)

    @property
    def package_key(self) -> str:
        """The key under which its package was made.

        Raises:
            ServingError: Modelyard did not register this version: the tag is missing or is no digest.
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
        """Its page in the UI."""
        return f"{server}/#/models/{self.name}/versions/{self.version}"


def ensure_model(api: Api, name: str, description: str) -> None:
    """The registered model of that name; created if it is not there."""
    with contextlib.suppress(TakenError):
        api.post("registered-models/create", {"name": name, "description": description})


def names(api: Api) -> list[str]:
    """All registered models."""
    return [str(model["name"]) for model in api.pages("GET", "registered-models/search", "registered_models", {})]


def versions(api: Api, name: str) -> list[Version]:
    """All versions of a model, newest first, with their aliases."""
    model = api.get("registered-models/get", name=name)["registered_model"]
    aliases: dict[str, list[str]] = {}
    for entry in model.get("aliases", ()):
        aliases.setdefault(str(entry["version"]), []).append(entry["alias"])
    found = _search(api, f"name='{name}'")
    return [replace(version, aliases=tuple(sorted(aliases.get(version.version, ())))) for version in found]


def all_versions(api: Api) -> list[Version]:
    """All versions of all models, without their aliases."""
    return _search(api, "")


def by_key(api: Api, name: str, package_key: str) -> Version | None:
    """The version registered under a key; of several (two registered at once) the lowest."""
    found = _search(api, f"name='{name}' and tags.`{PACKAGE_KEY}` = '{package_key}'")
    return min(found, key=lambda version: int(version.version), default=None)


def by_alias(api: Api, name: str, alias: str) -> Version | None:
    """The version that an alias names, or None."""
    try:
        found = api.get("registered-models/alias", name=name, alias=alias)
    except MissingError:
        return None
    except RegistryError as error:
        if "alias" in error.what and "not found" in error.what:
            return None
        raise
    return _version(found["model_version"])


def by_number(api: Api, name: str, version: str) -> Version:
    """One version.

    Raises:
        MissingError: there is none of that number.
    """
    return _version(api.get("model-versions/get", name=name, version=version)["model_version"])


def create(
    api: Api, name: str, source: str, run_id: str, model_id: str, tags: dict[str, str], description: str
) -> Version:
    """A new version, tagged in the same request."""
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
    """Remove a version."""
    api.delete("model-versions/delete", {"name": version.name, "version": version.version})


def set_alias(api: Api, name: str, alias: str, version: str, reason: str = "") -> None:
    """Point an alias at a version.

    Args:
        reason: what a person typed; the project's own MLflow server notes it.
    """
    body = {"name": name, "alias": alias, "version": version}
    api.post("registered-models/alias", body, headers=_reason(reason))


def delete_alias(api: Api, name: str, alias: str, reason: str = "") -> None:
    """Take an alias away; nothing to do if it is not there."""
    with contextlib.suppress(MissingError):
        api.delete("registered-models/alias", {"name": name, "alias": alias}, headers=_reason(reason))


def _reason(reason: str) -> dict[str, str]:
    return {REASON_HEADER: reason.encode("ascii", "replace").decode()} if reason else {}


def aliases(api: Api) -> dict[str, dict[str, str]]:
    """Every registered model's aliases and the version numbers that they name; one request for all."""
    found = api.pages("GET", "registered-models/search", "registered_models", {"max_results": 200})
    return {
        str(model["name"]): {entry["alias"]: str(entry["version"]) for entry in model.get("aliases", ())}
        for model in found
    }


def aliases_of(api: Api, name: str) -> dict[str, str]:
    """One model's aliases and the version numbers that they name; none for a model that is not there."""
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
    """Bring a version's package to a folder and prove it; nothing is left there if it does not fit.

    Raises:
        CorruptArtifactError: a file is not the one that the manifest or the version names.
        RegistryError: the version has no package of ours.
    """
    where = f"{version.source}/artifacts/package"
    if version.package_digest is None:
        raise RegistryError("this version has no Modelyard package", where=f"{version.name} version {version.version}")
    with atomic.folder(target) as fresh:
        api.download_file(where, manifests.FILE_NAME, fresh / manifests.FILE_NAME)
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
            api.download_file(where, name, path)
        manifests.verify(fresh, "package")
    return Package.open(target, verify=False)


def local_or_download(api: Api, version: Version, place: Path) -> Package:
    """The version's package: the one in `place` if its bytes are right, else the registry's, put there.

    Raises:
        CorruptArtifactError: what is in `place` is not as sealed, or is another version's.
    """
    if not (place / manifests.FILE_NAME).exists():
        return download(api, version, place)
    package = Package.open(place)
    if package.digest != version.package_digest:
        raise CorruptArtifactError(
            "another package than the version names",
            where=str(place),
            got=package.digest,
            expected=version.package_digest,
            next_step="remove this folder; the registry's package takes its place",
        )
    return package


def _search(api: Api, filter_text: str) -> list[Version]:
    asked = {"filter": filter_text, "max_results": 200, "order_by": ["version_number DESC"]}
    found = [_version(entry) for entry in api.pages("GET", "model-versions/search", "model_versions", asked)]
    return sorted(found, key=lambda version: -int(version.version))


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
