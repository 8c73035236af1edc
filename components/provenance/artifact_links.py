"""Verify bundle and package: every file on disk against its manifest."""

from __future__ import annotations

from pathlib import Path

from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import manifest as manifests
from components.identity.digest import short
from components.identity.package import Package, PackageFacts
from components.packaging.bundle import BENTO_BESIDE, BESIDE

BENTO_FILE = "bento.yaml"


def bundle_source(folder: Path) -> Path:
    """The sealed part (`src`) of a bundle, given the folder of the Bento or the part itself."""
    return folder / "src" if (folder / BENTO_FILE).is_file() else folder


def bundle(folder: Path) -> str:
    """Verify the files of a bundle, the facts of its package, and the files that BentoML wrote; a summary."""
    source = bundle_source(folder)
    manifest = manifests.verify(source, "bundle", BESIDE)
    package_manifest = manifests.load(source / "package", "package")
    require_equal(
        "another package than the bundle names",
        source / "package",
        package_manifest.digest,
        manifest.facts["package_digest"],
    )
    where, facts = source / manifests.FILE_NAME, PackageFacts.model_validate(package_manifest.facts)
    training = manifest.facts.get("train_fingerprint", manifest.facts.get("train_key"))  # older bundles have the latter
    require_equal("another train_fingerprint than its package's", where, training, facts.train_fingerprint)
    require_equal("another data_digest than its package's", where, manifest.facts["data_digest"], facts.data_digest)
    summary = f"{len(manifest.files)} files as sealed, bundle {short(manifest.digest)}"
    if source == folder:
        return summary
    try:
        bento_manifest = manifests.verify(folder, "bento", BENTO_BESIDE)
    except NotFoundError:
        return f"{summary}; what BentoML wrote around them was not sealed when it was built"
    return f"{summary}, {len(bento_manifest.files) - len(manifest.files)} of BentoML's around them"


def package(folder: Path) -> str:
    """Verify every file of a package; a summary."""
    opened = Package.open(folder)
    return f"{len(opened.manifest.files)} files as sealed, package {short(opened.digest)}"


def require_equal(problem: str, where: Path | str, got: object, expected: object) -> None:
    """Check that two values are equal.

    Raises:
        CorruptArtifactError: the values differ.
    """
    if got != expected:
        raise CorruptArtifactError(problem, where=str(where), got=got, expected=expected)
