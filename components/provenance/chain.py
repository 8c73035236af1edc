"""Verify a released model link by link, from its available artifacts down to the locked environment.

    service -> bundle -> package -> model version -> its files in the registry -> run -> data -> dvc.lock
            -> expectation report -> git commit -> lock

Every available artifact is read completely; a missing artifact makes its link absent, not broken.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.core.errors import ModelyardError, ServingError
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity.digest import short
from components.identity.package import Package
from components.provenance import artifact_links, data_links, registry_links, source_links, tombstone
from components.provenance.artifact_links import require_equal
from components.provenance.proof import AbsentError, Link, Proof, State, link
from components.registry import tracking, versions
from components.registry.api import Api, MissingError
from components.registry.versions import Version

REGISTRY_NOT_RUNNING = "not checked: registry not running"


@dataclass(frozen=True)
class Claim:
    """The version and package digest that a service reports, and the workers that report them."""

    url: str
    version: str
    package_digest: str
    workers: str


@dataclass(frozen=True)
class Artifacts:
    """The available artifacts of one released model.

    Args:
        name: name of the model.
        bundles: folders of Bentos (or their sealed parts); the package is read from the first.
        package: folder of a package.
        number: number of the version, if known.
        claim: the report of the service, if the target is a service.
    """

    name: str
    bundles: tuple[Path, ...] = ()
    package: Path | None = None
    number: str | None = None
    claim: Claim | None = None


def prove(project: Project, target: str, artifacts: Artifacts, api: Api | None) -> Proof:
    """Check every link independently: a broken link hides no other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-verify-")))
        version_or_link = _version(artifacts, _first_readable(_named_packages(artifacts)), api)
        version = version_or_link if isinstance(version_or_link, Version) else None
        package = _first_readable(_local_packages(project, artifacts, version)) or _download(
            api, version, folder / "package"
        )
        links = [
            *([link("service", lambda: _check_service(artifacts.claim, package))] if artifacts.claim else []),
            *_artifact_links(project, artifacts, version),
            *_registry_links(api, version_or_link, package),
        ]
        recorded, logged = _run_records(api, version, folder)
        links += _source_links(project, artifacts, package, version, recorded, logged)
    return Proof(target, _subject(artifacts, version, package), tuple(links))


def _version(artifacts: Artifacts, package: Package | None, api: Api | None) -> Version | Link:
    """The version, or the link that reports why there is none."""
    if api is None:
        return Link("version", "absent", REGISTRY_NOT_RUNNING)
    try:
        if artifacts.number is not None:
            return versions.by_number(api, artifacts.name, artifacts.number)
        model_versions = versions.versions(api, artifacts.name)
    except MissingError as error:
        state: State = "absent" if artifacts.number is None else "broken"
        return Link("version", state, error.what, f"{artifacts.name} version {artifacts.number}")
    except ModelyardError as error:
        return Link("version", "broken", error.what, error.where, error.got, error.expected)
    matching = [
        version for version in model_versions if package is not None and version.package_digest == package.digest
    ]
    return (
        matching[-1]
        if matching
        else Link("version", "absent", f"the registry has no version of {artifacts.name} with it")
    )


def _named_packages(artifacts: Artifacts) -> list[Path]:
    """Folders of the packages of the named artifacts."""
    inner = [artifact_links.bundle_source(bundle) / "package" for bundle in artifacts.bundles]
    return [*inner, *([artifacts.package] if artifacts.package else [])]


def _local_packages(project: Project, artifacts: Artifacts, version: Version | None) -> list[Path]:
    """Folders of all packages on disk: the named ones, and the project's own of the version."""
    folders = _named_packages(artifacts)
    if version is not None:
        with suppress(ServingError):  # not registered by Modelyard: the project has no copy
            folders = [*folders, project.package(version.package_key)]
    return [folder for folder in dict.fromkeys(folders) if folder.exists()]


def _first_readable(folders: list[Path]) -> Package | None:
    """The first package whose manifest can be read; the link `package` verifies its files."""
    for folder in folders:
        try:
            return Package.open(folder, verify=False)
        except ModelyardError:
            continue
    return None


def _download(api: Api | None, version: Version | None, folder: Path) -> Package | None:
    if api is None or version is None:
        return None
    try:
        return versions.download(api, version, folder)
    except ModelyardError:  # the link `artifacts` reports the error
        return None


def _check_service(claim: Claim | None, package: Package | None) -> str:
    if claim is None or package is None:
        raise AbsentError("no package to compare with what the service says")
    require_equal("the service serves another package", claim.url, claim.package_digest, package.digest)
    return f"{claim.workers}: version {claim.version}, package {short(claim.package_digest)}"


def _artifact_links(project: Project, artifacts: Artifacts, version: Version | None) -> list[Link]:
    bundles = [link("bundle", partial(_check_bundle, bundle, artifacts)) for bundle in artifacts.bundles]
    packages = [
        link("package", partial(artifact_links.package, folder))
        for folder in _local_packages(project, artifacts, version)
    ]
    removed_bundle, removed_package = _removal_texts(project, artifacts, version)
    return [
        *(bundles or [Link("bundle", "absent", removed_bundle or "no bundle of it is named or on this machine")]),
        *(packages or [Link("package", "absent", removed_package or "no copy but the registry's")]),
    ]


def _removal_texts(project: Project, artifacts: Artifacts, version: Version | None) -> tuple[str | None, str | None]:
    """Texts of the tombstones of the latest bundle and of the package; None if gc did not remove them."""
    number = artifacts.number or (version.version if version else None)
    bundles = [
        record
        for record in tombstone.of_kind(project, "bundle")
        if record.model == artifacts.name and number is not None and record.version == number
    ]
    digest = version.package_digest if version is not None else None
    digest = digest or (bundles[0].package_digest if bundles else None)
    packages = [record for record in tombstone.of_kind(project, "package") if digest and record.digest == digest]
    return (bundles[0].text if bundles else None, packages[0].text if packages else None)


def _check_bundle(folder: Path, artifacts: Artifacts) -> str:
    summary = artifact_links.bundle(folder)
    facts = manifests.load(artifact_links.bundle_source(folder), "bundle").facts
    require_equal("a bundle of another model", folder, facts["model"], artifacts.name)
    if artifacts.number is not None:
        require_equal("a bundle of another version", folder, facts["version"], artifacts.number)
    return summary


def _registry_links(api: Api | None, version: Version | Link, package: Package | None) -> list[Link]:
    if api is None or isinstance(version, Link):
        reason = REGISTRY_NOT_RUNNING if api is None else "no version to start from"
        return [
            *([version] if isinstance(version, Link) else []),
            *(Link(name, "absent", reason) for name in ("artifacts", "run")),
        ]

    def required_package() -> Package:
        if package is None:
            raise AbsentError("no copy of its package can be read")
        return package

    return [
        link("version", lambda: registry_links.version(version, required_package())),
        link("artifacts", lambda: registry_links.artifacts(api, version)),
        link("run", lambda: registry_links.run(api, version, required_package())),
    ]


def _run_records(
    api: Api | None, version: Version | None, folder: Path
) -> tuple[dict[str, dict[str, str]], Path | None]:
    """The tags of version and run, and the folder with the data files logged to the run."""
    if api is None or version is None:
        return {}, None
    tags = {"version": version.tags}
    try:
        document = api.get("runs/get", run_id=version.run_id)["run"]
    except ModelyardError:  # the link `run` reports the error
        return tags, None
    tags["run"] = registry_links.run_tags(document)
    downloaded = tracking.logged_data(api, document["info"]["artifact_uri"], folder / "data")
    return tags, folder / "data" if downloaded else None


def _source_links(
    project: Project,
    artifacts: Artifacts,
    package: Package | None,
    version: Version | None,
    tags: dict[str, dict[str, str]],
    logged: Path | None,
) -> list[Link]:
    if package is None:
        return [
            Link(name, "absent", "no package to start from") for name in ("data", "dvc", "report", "commit", "lock")
        ]
    links = [
        link("data", lambda: data_links.data(project, package)),
        link("dvc", lambda: data_links.dvc(project, package)),
        link("report", lambda: data_links.report(project, package, logged)),
    ]
    if version is not None:
        links.append(link("commit", lambda: source_links.commit(project.root, tags)))
        links.append(link("lock", lambda: source_links.lock(project.root, tags)))
        return links
    links.append(Link("commit", "absent", "not checked: the registry names the commit"))
    return [*links, link("lock", lambda: _check_pins(project, artifacts))]


def _check_pins(project: Project, artifacts: Artifacts) -> str:
    if not artifacts.bundles:
        raise AbsentError("not checked: the registry names the lock")
    try:
        facts = manifests.load(artifact_links.bundle_source(artifacts.bundles[0]), "bundle").facts
    except ModelyardError as error:
        raise AbsentError("the bundle's pins cannot be read") from error
    return source_links.pins(project.root, facts)


def _subject(artifacts: Artifacts, version: Version | None, package: Package | None) -> str:
    number = version.version if version else artifacts.number
    subject = f"{artifacts.name} version {number}" if number else artifacts.name
    return f"{subject}, package {short(package.digest)}" if package else subject
