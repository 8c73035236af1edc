"""From what is at hand of a released model, link by link down to the lock it was made with.

    service -> bundle -> package -> model version -> its files in the registry -> run -> data -> dvc.lock
            -> expectation report -> git commit -> lock

Whatever is at hand is read byte by byte; what is not is said to be absent, and breaks nothing.
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
from components.provenance.artifact_links import same
from components.provenance.proof import AbsentError, Link, Proof, State, link
from components.registry import tracking, versions
from components.registry.api import Api, MissingError
from components.registry.versions import Version

REGISTRY_AWAY = "not checked: registry not running"


@dataclass(frozen=True)
class Claim:
    """What a service says that it serves, by version and package digest, and which of its workers say so."""

    url: str
    version: str
    package_digest: str
    workers: str


@dataclass(frozen=True)
class Pieces:
    """What is at hand of one released model.

    Args:
        name: the model.
        bundles: Bentos (or their sealed parts), in which the package is looked for first.
        package: a package's folder.
        number: the version's, where it is known.
        claim: of the service that was asked.
    """

    name: str
    bundles: tuple[Path, ...] = ()
    package: Path | None = None
    number: str | None = None
    claim: Claim | None = None


def prove(project: Project, target: str, pieces: Pieces, api: Api | None) -> Proof:
    """All links, each looked at for itself: a broken one hides none after it."""
    with ExitStack() as during:
        place = Path(during.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-verify-")))
        found = _version(pieces, _read(_named(pieces)), api)
        version = found if isinstance(found, Version) else None
        package = _read(_copies(project, pieces, version)) or _fetched(api, version, place / "package")
        links = [
            *([link("service", lambda: _service(pieces.claim, package))] if pieces.claim else []),
            *_artifacts(project, pieces, version),
            *_registry(api, found, package),
        ]
        recorded, logged = _run(api, version, place)
        links += _sources(project, pieces, package, version, recorded, logged)
    return Proof(target, _subject(pieces, version, package), tuple(links))


def _version(pieces: Pieces, package: Package | None, api: Api | None) -> Version | Link:
    """The version; or, where it is not at hand, the link that says so."""
    if api is None:
        return Link("version", "absent", REGISTRY_AWAY)
    try:
        if pieces.number is not None:
            return versions.by_number(api, pieces.name, pieces.number)
        found = versions.versions(api, pieces.name)
    except MissingError as error:
        state: State = "absent" if pieces.number is None else "broken"
        return Link("version", state, error.what, f"{pieces.name} version {pieces.number}")
    except ModelyardError as error:
        return Link("version", "broken", error.what, error.where, error.got, error.expected)
    of_it = [version for version in found if package is not None and version.package_digest == package.digest]
    return of_it[-1] if of_it else Link("version", "absent", f"the registry has no version of {pieces.name} with it")


def _named(pieces: Pieces) -> list[Path]:
    """The packages in what was named."""
    inner = [artifact_links.bundle_source(bundle) / "package" for bundle in pieces.bundles]
    return [*inner, *([pieces.package] if pieces.package else [])]


def _copies(project: Project, pieces: Pieces, version: Version | None) -> list[Path]:
    """All packages on disk: also the project's own of that version."""
    places = _named(pieces)
    if version is not None:
        with suppress(ServingError):  # not registered by Modelyard: there is no copy here
            places = [*places, project.package(version.package_key)]
    return [place for place in dict.fromkeys(places) if place.exists()]


def _read(places: list[Path]) -> Package | None:
    """The words of the first package whose seal can be read; whether its files are as sealed is a link of its own."""
    for place in places:
        try:
            return Package.open(place, verify=False)
        except ModelyardError:
            continue
    return None


def _fetched(api: Api | None, version: Version | None, place: Path) -> Package | None:
    if api is None or version is None:
        return None
    try:
        return versions.download(api, version, place)
    except ModelyardError:  # the link `artifacts` says it
        return None


def _service(claim: Claim | None, package: Package | None) -> str:
    if claim is None or package is None:
        raise AbsentError("no package to compare with what the service says")
    same("the service serves another package", claim.url, claim.package_digest, package.digest)
    return f"{claim.workers}: version {claim.version}, package {short(claim.package_digest)}"


def _artifacts(project: Project, pieces: Pieces, version: Version | None) -> list[Link]:
    bundles = [link("bundle", partial(_bundle, bundle, pieces)) for bundle in pieces.bundles]
    packages = [link("package", partial(artifact_links.package, place)) for place in _copies(project, pieces, version)]
    removed_bundle, removed_package = _removed(project, pieces, version)
    return [
        *(bundles or [Link("bundle", "absent", removed_bundle or "no bundle of it is named or on this machine")]),
        *(packages or [Link("package", "absent", removed_package or "no copy but the registry's")]),
    ]


def _removed(project: Project, pieces: Pieces, version: Version | None) -> tuple[str | None, str | None]:
    """What gc has removed of it, in words: the latest bundle, and the package."""
    number = pieces.number or (version.version if version else None)
    bundles = [
        stone
        for stone in tombstone.of_kind(project, "bundle")
        if stone.model == pieces.name and number is not None and stone.version == number
    ]
    digest = version.package_digest if version is not None else None
    digest = digest or (bundles[0].package_digest if bundles else None)
    packages = [stone for stone in tombstone.of_kind(project, "package") if digest and stone.digest == digest]
    return (bundles[0].text if bundles else None, packages[0].text if packages else None)


def _bundle(folder: Path, pieces: Pieces) -> str:
    said = artifact_links.bundle(folder)
    facts = manifests.load(artifact_links.bundle_source(folder), "bundle").facts
    same("a bundle of another model", folder, facts["model"], pieces.name)
    if pieces.number is not None:
        same("a bundle of another version", folder, facts["version"], pieces.number)
    return said


def _registry(api: Api | None, found: Version | Link, package: Package | None) -> list[Link]:
    if api is None or isinstance(found, Link):
        why = REGISTRY_AWAY if api is None else "no version to start from"
        return [
            *([found] if isinstance(found, Link) else []),
            *(Link(name, "absent", why) for name in ("artifacts", "run")),
        ]

    def known() -> Package:
        if package is None:
            raise AbsentError("no copy of its package can be read")
        return package

    return [
        link("version", lambda: registry_links.version(found, known())),
        link("artifacts", lambda: registry_links.artifacts(api, found)),
        link("run", lambda: registry_links.run(api, found, known())),
    ]


def _run(api: Api | None, version: Version | None, place: Path) -> tuple[dict[str, dict[str, str]], Path | None]:
    """The tags of version and run, and the folder with what the run kept of its data."""
    if api is None or version is None:
        return {}, None
    recorded = {"version": version.tags}
    try:
        document = api.get("runs/get", run_id=version.run_id)["run"]
    except ModelyardError:  # the link `run` says it
        return recorded, None
    recorded["run"] = registry_links.run_tags(document)
    kept = tracking.logged_data(api, document["info"]["artifact_uri"], place / "data")
    return recorded, place / "data" if kept else None


def _sources(
    project: Project,
    pieces: Pieces,
    package: Package | None,
    version: Version | None,
    recorded: dict[str, dict[str, str]],
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
        links.append(link("commit", lambda: source_links.commit(project.root, recorded)))
        links.append(link("lock", lambda: source_links.lock(project.root, recorded)))
        return links
    links.append(Link("commit", "absent", "not checked: the registry names the commit"))
    return [*links, link("lock", lambda: _pins(project, pieces))]


def _pins(project: Project, pieces: Pieces) -> str:
    if not pieces.bundles:
        raise AbsentError("not checked: the registry names the lock")
    try:
        facts = manifests.load(artifact_links.bundle_source(pieces.bundles[0]), "bundle").facts
    except ModelyardError as error:
        raise AbsentError("the bundle's pins cannot be read") from error
    return source_links.pins(project.root, facts)


def _subject(pieces: Pieces, version: Version | None, package: Package | None) -> str:
    number = version.version if version else pieces.number
    named = f"{pieces.name} version {number}" if number else pieces.name
    return f"{named}, package {short(package.digest)}" if package else named
