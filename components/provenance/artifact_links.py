"""Bundle and package: every byte on disk against its seal."""

from __future__ import annotations

from pathlib import Path

from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import manifest as manifests
from components.identity.digest import short
from components.identity.package import Package, PackageFacts
from components.packaging.bundle import BESIDE, COMPILED

BENTO_FILE = "bento.yaml"


def bundle_source(folder: Path) -> Path:
    """The sealed part of a bundle, given the Bento's folder or that part itself."""
    return folder / "src" if (folder / BENTO_FILE).is_file() else folder


def bundle(folder: Path) -> str:
    """Our part of the Bento as sealed, with the package that it names; BentoML's record around it as it was built."""
    source = bundle_source(folder)
    sealed = manifests.verify(source, "bundle", BESIDE)
    inner = manifests.load(source / "package", "package")
    same("another package than the bundle names", source / "package", inner.digest, sealed.facts["package_digest"])
    where, facts = source / manifests.FILE_NAME, PackageFacts.model_validate(inner.facts)
    training = sealed.facts.get("train_fingerprint", sealed.facts.get("train_key"))  # bundles of before have the latter
    same("another train_fingerprint than its package's", where, training, facts.train_fingerprint)
    same("another data_digest than its package's", where, sealed.facts["data_digest"], facts.data_digest)
    said = f"{len(sealed.files)} files as sealed, bundle {short(sealed.digest)}"
    if source == folder:
        return said
    try:
        whole = manifests.verify(folder, "bento", COMPILED)
    except NotFoundError:
        return f"{said}; what BentoML wrote around them was not sealed when it was built"
    return f"{said}, {len(whole.files) - len(sealed.files)} of BentoML's around them"


def package(folder: Path) -> str:
    """Every file of the package as sealed."""
    opened = Package.open(folder)
    return f"{len(opened.manifest.files)} files as sealed, package {short(opened.digest)}"


def same(what: str, where: Path | str, got: object, expected: object) -> None:
    """Two values that must be equal.

    Raises:
        CorruptArtifactError: they are not.
    """
    if got != expected:
        raise CorruptArtifactError(what, where=str(where), got=got, expected=expected)
