"""The link `signature` of a chain of proof: signed and verified, not signed, or broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import SignatureError
from components.packaging import signature
from components.packaging.bundle import SIGNATURE
from components.provenance.artifact_links import bundle_source
from components.provenance.proof import AbsentError, Link, link


@dataclass(frozen=True)
class SignaturePolicy:
    """How signatures are verified.

    Args:
        public_key: None: a signature is named, and not verified.
        required: what is not signed is broken, not absent.
    """

    public_key: Path | None = None
    required: bool = False


def of(folder: Path, file: Path, policy: SignaturePolicy) -> Link:
    """The link for a folder and the file of its signature."""
    return link("signature", lambda: _check(folder, file, policy))


def of_bundles(bundles: Sequence[Path], policy: SignaturePolicy) -> list[Link]:
    """One link a Bento, given the folders of Bentos or their sealed parts; a broken one if none is here."""
    links = [of(bundle_source(bundle), _bento(bundle) / SIGNATURE, policy) for bundle in bundles]
    if not links and policy.required:
        return [Link("signature", "broken", "no bundle of it is here whose signature could be verified")]
    return links


def _bento(bundle: Path) -> Path:
    return bundle.parent if bundle_source(bundle) == bundle else bundle


def _check(folder: Path, file: Path, policy: SignaturePolicy) -> str:
    if not file.is_file() and not policy.required:
        raise AbsentError("not signed")
    if policy.public_key is None:
        raise AbsentError(f"signed with the key {_named(file)}, not verified: no --public-key")
    fingerprint = signature.verify(folder, file, policy.public_key)
    return f"signed with the key {fingerprint[:12]}, {policy.public_key.name}"


def _named(file: Path) -> str:
    try:
        return str(json.loads(file.read_bytes())["verificationMaterial"]["publicKey"]["hint"])[:12]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SignatureError("the signature cannot be read", where=str(file), got=error) from error
