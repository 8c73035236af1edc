"""Write the archive of a bundle: with wheels, with evidence, signed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.core.errors import ServingError
from components.core.log import Log
from components.core.project import Project
from components.identity import lock_file
from components.packaging import archive, signature, wheels
from components.packaging.archive import Archive
from components.packaging.bundle import Bundle
from components.registry.api import Api
from flows.deployment import evidence
from flows.deployment.released_bundle import ChosenBundle


@dataclass(frozen=True)
class ExportOptions:
    """What an archive carries beside the bundle.

    Args:
        find_links: folders that hold wheels; looked in before the package index.
        key: private key that the archive is signed with; None: it is not.
    """

    with_wheels: bool = False
    with_evidence: bool = False
    find_links: Sequence[str] = field(default=())
    key: Path | None = None


def export(project: Project, api: Api, chosen: ChosenBundle, target: Path, options: ExportOptions, log: Log) -> Archive:
    """Write the archive of a bundle.

    Raises:
        ServingError: a library cannot be fetched.
        CorruptArtifactError: bundle or ledger are not as they were written.
        UsageError: the key cannot be used.
    """
    key = options.key
    with tempfile.TemporaryDirectory(prefix="modelyard-export-") as temporary:
        collected, gathered = Path(temporary) / "wheels", Path(temporary) / "evidence"
        if options.with_wheels:
            collect_wheels(project, chosen.bundle, collected, options.find_links, log)
        if options.with_evidence:
            evidence.gather(project, api, chosen.version, gathered, log)
        return archive.write(
            chosen.bundle,
            target,
            wheels=collected if options.with_wheels else None,
            platform=wheels.this_platform() if options.with_wheels else None,
            evidence=gathered if options.with_evidence else None,
            sign=None if key is None else lambda folder, file: signature.sign(folder, file, key),
        )


def collect_wheels(project: Project, bundle: Bundle, target: Path, find_links: Sequence[str], log: Log) -> None:
    """Every library of a bundle as a wheel in an empty folder; a cache of the project keeps them.

    Raises:
        ServingError: the bundle's requirements have no hashes, or pip cannot fetch a library.
    """
    file = bundle.folder / "env" / "python" / "requirements.txt"
    try:
        pins = lock_file.read(file)
    except OSError as error:
        raise ServingError("the bundle has no requirements", where=str(file), got=error) from error
    hashes = {pin.name: sorted(pin.hashes) for pin in pins}
    lines = [f"{pin.name}=={pin.version}" for pin in pins]
    wheels.collect(lines, hashes, project.state / "cache" / "wheels", target, find_links=find_links, log=log)
