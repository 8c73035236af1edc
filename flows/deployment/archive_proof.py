"""The chain of proof of an archive: its content, signature and evidence, then the chain of the bundle in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from components.core.errors import ModelyardError
from components.core.project import Project
from components.identity.digest import short
from components.identity.package import Package
from components.packaging import archive
from components.packaging.archive import SIGNATURE, Archive
from components.provenance import chain
from components.provenance.chain import Artifacts
from components.provenance.proof import AbsentError, Link, Proof, link
from components.registry.api import Api
from flows.deployment import evidence, signature_link
from flows.deployment.signature_link import SignaturePolicy


def prove(project: Project, file: Path, api: Api | None, policy: SignaturePolicy) -> Proof:
    """Verify an archive. A version of this registry is its own if it has the same package, whatever its number.

    Raises:
        UsageError: the public key cannot be read.
    """
    try:
        with archive.unpacked(file) as opened:
            proof = chain.prove(project, str(file), Artifacts(opened.facts.model, (opened.bento,)), api)
            links = (
                Link("archive", "ok", _summary(opened)),
                signature_link.of(opened.folder, opened.folder / SIGNATURE, policy),
                link("evidence", lambda: _evidence(opened)),
                *proof.links,
            )
            return replace(proof, links=tuple(_named(file, opened, one) for one in links))
    except ModelyardError as error:
        broken = Link("archive", "broken", error.what, error.where, error.got, error.expected)
        return Proof(str(file), file.name, (broken,))


def _named(file: Path, opened: Archive, found: Link) -> Link:
    return replace(found, where=archive.in_archive(file, opened.folder, found.where))


def _summary(opened: Archive) -> str:
    wheels = f", with wheels for {opened.facts.platform}" if opened.facts.platform else ""
    return f"{len(opened.manifest.files)} files as listed, content {short(opened.manifest.digest)}{wheels}"


def _evidence(opened: Archive) -> str:
    if opened.evidence is None:
        raise AbsentError("the archive carries none")
    package = Package.open(opened.bento / "src" / "package", verify=False)
    found = evidence.read(opened.evidence, opened.facts, package)
    notes = [f"without {sentence}" for sentence in found.absent]
    held = f"version {found.origin.version} there, {len(found.entries)} ledger entries, {len(found.gates)} gate reports"
    return "; ".join([held, *notes])
