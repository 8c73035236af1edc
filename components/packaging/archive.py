"""A bundle as one file: a tar archive whose content has a digest of its own.

    <model>-<12 digits>/
        manifest.json   kind `archive`: digest, files, facts (`ArchiveFacts`)
        README.md       how to install and serve; install.sh and serve.sh do so
        bento/          the Bento, as sealed
        wheels/         with wheels: every library that the bundle installs
        evidence/       with evidence: see `flows/deployment/evidence.py`
        archive.sig     signed: over everything above

The same content gives the same bytes: members are sorted, with one time, owner and mode for all, and nothing is
compressed. A signature differs each time; the digest does not cover it.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from components.core import atomic, disk_space
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError, SourceError, UsageError
from components.core.strict import Strict
from components.identity import manifest as manifests
from components.identity.digest import short
from components.identity.manifest import Manifest
from components.ingestion.archive_target import ArchiveLimits, ArchiveTarget
from components.packaging import bundle as bundles
from components.packaging.archive_scripts import INSTALL, PRECOMPILE, SERVE, readme
from components.packaging.bundle import BENTO_BESIDE, BESIDE, Bundle

BENTO, WHEELS, EVIDENCE, SIGNATURE = "bento", "wheels", "evidence", "archive.sig"
TIME_SECONDS = 315_532_800  # 1980-01-01, the earliest time that every format can hold


class ArchiveFacts(Strict):
    """What the archive's manifest says beside the files.

    Args:
        bundle: the bundle's tag.
        bundle_digest: digest of the bundle's sealed part; `bento_digest`: of all of the Bento.
        platform: for which the wheels are; None: without wheels.
    """

    model: str
    version: str
    bundle: str
    bundle_digest: str
    bento_digest: str
    package_digest: str
    data_digest: str
    platform: str | None


@dataclass(frozen=True)
class Archive:
    """An unpacked archive, every byte as its manifest says."""

    folder: Path
    manifest: Manifest
    facts: ArchiveFacts

    @property
    def bento(self) -> Path:
        """The Bento."""
        return self.folder / BENTO

    @property
    def evidence(self) -> Path | None:
        """The evidence; None: the archive carries none."""
        return self.folder / EVIDENCE if (self.folder / EVIDENCE).is_dir() else None

    @property
    def signature(self) -> Path | None:
        """The signature over the archive; None: it is not signed."""
        return self.folder / SIGNATURE if (self.folder / SIGNATURE).is_file() else None


def write(
    bundle: Bundle,
    target: Path,
    *,
    wheels: Path | None = None,
    platform: str | None = None,
    evidence: Path | None = None,
    sign: Callable[[Path, Path], None] | None = None,
) -> Archive:
    """Write the archive of a bundle; the file appears whole.

    Args:
        wheels: folder with every library that the bundle installs, for `platform`.
        evidence: folder of evidence about the bundle.
        sign: called with a folder and with the file for its signature.

    Returns:
        What was written; the folder is gone.

    Raises:
        CorruptArtifactError: the bundle is not as sealed.
        UsageError: no file can be written there.
        DiskFullError: there is no space left.
    """
    sealed = bundle.verify()
    bento = manifests.verify(bundle.folder, "bento", BENTO_BESIDE)
    check_target(target)
    with (
        disk_space.reported(target.parent),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary,
    ):
        folder = Path(temporary) / f"{bundle.model}-{short(bundle.key)}"
        folder.mkdir()
        _copy(bundle.folder, folder / BENTO)
        for source, name in ((wheels, WHEELS), (evidence, EVIDENCE)):
            if source is not None:
                _copy(source, folder / name)
        facts = ArchiveFacts(
            model=bundle.model,
            version=str(sealed.facts["version"]),
            bundle=bundle.tag,
            bundle_digest=sealed.digest,
            bento_digest=bento.digest,
            package_digest=str(sealed.facts["package_digest"]),
            data_digest=str(sealed.facts["data_digest"]),
            platform=platform,
        )
        atomic.write_text(folder / "README.md", readme(facts.model, facts.version, facts.bundle, platform))
        atomic.write_text(folder / "install.sh", INSTALL)
        atomic.write_text(folder / "serve.sh", SERVE)
        shutil.copyfile(PRECOMPILE, folder / PRECOMPILE.name)
        # The bundle's own signature differs each time, as the archive's does: the digest covers neither.
        signature = folder / BENTO / bundles.SIGNATURE
        aside = Path(temporary) / bundles.SIGNATURE
        if signature.exists():
            signature.rename(aside)
        manifest = manifests.seal(folder, "archive", facts.model_dump(mode="json"))
        if aside.exists():
            aside.rename(signature)
        if sign is not None:
            sign(folder, folder / SIGNATURE)
        pack(folder, Path(temporary) / "archive.tar")
        (Path(temporary) / "archive.tar").replace(target)
        return Archive(folder, manifest, facts)


def check_target(target: Path) -> None:
    """Make the folder of an archive, unless it is there.

    Raises:
        UsageError: no file can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        reason = "this is a folder" if target.is_dir() else None
    except OSError as error:
        if disk_space.is_full(error):
            raise disk_space.as_error(error, target.parent) from error
        reason = error.strerror
    if reason is not None:
        raise UsageError(
            "the archive cannot be written",
            where=str(target),
            got=reason,
            next_step="name a file in a folder that you may write to",
        )


def pack(folder: Path, target: Path) -> None:
    """Write all files of a folder to a tar file, below the folder's name: the same files give the same bytes."""
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as packed:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(f"{folder.name}/{name}")
            member.size, member.mtime = path.stat().st_size, TIME_SECONDS
            member.mode = 0o755 if path.suffix == ".sh" else 0o644
            with path.open("rb") as stream:
                packed.addfile(member, stream)


@contextmanager
def unpacked(file: Path, beside: Path | None = None) -> Iterator[Archive]:
    """The content of an archive, verified, in a temporary folder.

    Args:
        beside: where the temporary folder is made; default: the system's place for such.

    Raises:
        NotFoundError: there is no such file.
        CorruptArtifactError: it is no archive of a bundle, leads outside of it, or a file in it is not as sealed.
    """
    if not file.is_file():
        raise NotFoundError("no such archive", where=str(file))
    with tempfile.TemporaryDirectory(dir=beside, prefix="modelyard-archive-") as temporary:
        with disk_space.reported(Path(temporary)):
            unpack(file, Path(temporary))
        folders = list(Path(temporary).iterdir())
        if len(folders) != 1 or not (folders[0] / manifests.FILE_NAME).is_file():
            raise CorruptArtifactError(
                "not an archive of a bundle",
                where=str(file),
                got=", ".join(sorted(path.name for path in folders)[:5]) or "no files",
                expected=_EXPECTED,
            )
        try:
            yield read(folders[0])
        except ModelyardError as error:  # the folder is gone when this is read
            error.where = in_archive(file, folders[0], error.where)
            raise


def in_archive(file: Path, folder: Path, where: str | None) -> str | None:
    """A place in the folder that an archive was unpacked to, as `FILE: PATH IN IT`; any other place as it is."""
    if where is None or not Path(where).is_relative_to(folder):
        return where
    inner = Path(where).relative_to(folder)
    return str(file) if inner == Path() else f"{file}: {inner.as_posix()}"


_PIECE = 1 << 20
_EXPECTED = "an archive that `modelyard bundle PIPELINE --export FILE` wrote"


def read(folder: Path) -> Archive:
    """An unpacked archive, every byte of it compared with its manifest, and the Bento in it with its seals.

    Raises:
        CorruptArtifactError: names what is not as sealed.
    """
    manifest = manifests.verify(folder, "archive", frozenset({SIGNATURE, bundles.SIGNATURE}))
    try:
        facts = ArchiveFacts.model_validate(manifest.facts)
    except ValidationError as error:
        raise CorruptArtifactError(
            "the facts are no archive's", where=str(folder / manifests.FILE_NAME), got=error.errors()[0]["msg"]
        ) from error
    bento = manifests.verify(folder / BENTO, "bento", BENTO_BESIDE)
    bundle = manifests.verify(folder / BENTO / "src", "bundle", BESIDE)
    for name, got, expected in (
        ("another Bento than the archive names", bento.digest, facts.bento_digest),
        ("another bundle than the archive names", bundle.digest, facts.bundle_digest),
        ("another package than the archive names", bundle.facts.get("package_digest"), facts.package_digest),
        ("another model than the archive names", bundle.facts.get("model"), facts.model),
        ("another version than the archive names", bundle.facts.get("version"), facts.version),
    ):
        if got != expected:
            raise CorruptArtifactError(name, where=str(folder / BENTO), got=got, expected=expected)
    return Archive(folder, manifest, facts)


def unpack(file: Path, folder: Path) -> None:
    """Unpack plain files of a tar file. It is read as a tar file alone: with wheels at its end it looks like a zip."""
    target = ArchiveTarget(file, folder, ArchiveLimits())
    try:
        with tarfile.open(file, "r:") as packed:
            for member in packed:
                stream = packed.extractfile(member) if member.isreg() else None
                place = target.place(member.name, "file" if stream is not None else "link or device")
                assert stream is not None  # noqa: S101  # `place` refuses what is no plain file
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as out:
                    while piece := stream.read(_PIECE):
                        target.count(len(piece))
                        out.write(piece)
    except SourceError as error:  # a path that leads outside, or too much
        raise CorruptArtifactError(error.what, where=str(file), got=error.got, expected=error.expected) from error
    except (tarfile.TarError, OSError) as error:
        if disk_space.is_full(error):
            raise
        raise CorruptArtifactError(
            "this file is no whole archive", where=str(file), got=error, expected=_EXPECTED
        ) from error


def _copy(source: Path, target: Path) -> None:
    """A copy of a folder without Python's compiled files; on one file system no file takes space twice."""
    shutil.copytree(source, target, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("__pycache__"))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
