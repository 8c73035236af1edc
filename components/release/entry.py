"""One entry of the ledger: what it says, its digest, its signature, and how it follows from the entry before it.

The chain is checked on JSON documents, not on `Entry`: entries of a newer Modelyard, with events that this one does not
know, can be followed, appended to and exported. They cannot be read as `Entry`.
"""

from __future__ import annotations

import hmac
import json
from typing import Any, Literal

from pydantic import ValidationError

from components.access import secret
from components.core.errors import CorruptArtifactError
from components.core.strict import Strict
from components.identity import digest

Role = Literal["champion", "challenger"]

Event = Literal[
    "asked",  # a release begins: the registry names another version than the one that serves
    "verified",  # its package is there and is what was sealed
    "bundled",
    "gated",  # all gates passed
    "waiting",  # for a person's approval
    "approved",  # by a person
    "staged",  # loaded beside the one that serves
    "proven",  # its golden examples through the real endpoint
    "switching",  # decided: what production is made of from now on
    "switched",  # every worker serves it
    "served",  # watched; it serves well: the release is done
    "refusing",  # decided; the registry is being told
    "refused",  # never served
    "returned",  # served for a moment, failed, and what served before is back
    "superseded",  # the registry asked for something else meanwhile
    "withdrawing",
    "withdrawn",  # nothing is asked for any more, nothing serves
    "removing",
    "removed",  # a challenger that broke its limits, or whose alias was taken away
    "compared",  # what champion and challenger did side by side
    "told",  # after a rollback: the registry names what serves again
    "imported",  # the entries before this one were taken over from a file without signatures; no release
    "rekeyed",  # the entries before this one were signed again, because the key was lost; no release
    "monitored",  # an alarm of the monitor, and what followed from it; no release
    "forgotten",  # a person's data was removed: digests and numbers of it, and not the data; no release
    "followed",  # production follows another registry from now on (components/release/followed.py); no release
]

CLOSING: frozenset[Event] = frozenset({"served", "refused", "returned", "superseded", "withdrawn", "removed"})
# Entries about the ledger itself, of the monitor or of removed data: of no release, they change nothing in production.
NOTES: frozenset[Event] = frozenset({"imported", "rekeyed", "monitored", "forgotten", "followed"})
FIRST = "0" * 64

Document = dict[str, Any]


class VersionRef(Strict):
    """A version, with its package's digest where that is known."""

    version: str
    package_digest: str | None


class Entry(Strict):
    """One entry.

    Args:
        release: the same for all entries of one release.
        before, after: what served in that role when the release began, and what is asked for.
        asked_by: who or what asked.
        facts: figures, reasons, times, links.
        previous: digest of the entry before; `FIRST` in the first one.
        digest: sha256 of the entry without `digest` and `signature`.
        signature: HMAC-SHA256 of the model's name and the digest, with the project's ledger key.
    """

    sequence: int
    time: str
    release: str
    event: Event
    role: Role
    before: VersionRef | None
    after: VersionRef | None
    asked_by: str
    facts: dict[str, Any]
    previous: str
    digest: str
    signature: str = ""


def signature_of_entry(key: str, model: str, entry_digest: str) -> str:
    """The signature of an entry; an entry of one model is of no use in the chain of another."""
    return secret.sign(key, "modelyard ledger entry", f"{model}\n{entry_digest}")


def signature_of_head(key: str, model: str, sequence: int, entry_digest: str) -> str:
    """The signature of a chain's end; without the key nobody can make the end of a shorter chain."""
    return secret.sign(key, "modelyard ledger head", f"{model}\n{sequence}\n{entry_digest}")


def is_signature(found: object, expected: str) -> bool:
    """Whether two signatures are equal, in a time that does not depend on where they differ."""
    return isinstance(found, str) and hmac.compare_digest(found.encode(), expected.encode())


def digest_of(document: Document) -> str:
    """The digest of an entry. It is the same for an entry with and without its signature.

    Raises:
        ValueError: a fact is NaN or infinite.
    """
    return digest.of_value({name: value for name, value in document.items() if name not in ("digest", "signature")})


def parsed(text: str | bytes, where: str) -> Document:
    """The JSON document of an entry.

    Raises:
        CorruptArtifactError: the text is no JSON object with a sequence number and digests.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CorruptArtifactError("an entry of the ledger cannot be read", where=where, got=str(error)) from error
    kinds = {"sequence": int, "previous": str, "digest": str}
    if not isinstance(document, dict) or any(not isinstance(document.get(name), kind) for name, kind in kinds.items()):
        raise CorruptArtifactError(
            "an entry of the ledger cannot be read", where=where, expected="an object with sequence, previous, digest"
        )
    return document


def as_entry(document: Document, where: str) -> Entry:
    """A document as an `Entry`.

    Raises:
        CorruptArtifactError: a field is missing, unknown or of the wrong type.
    """
    try:
        return Entry.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise CorruptArtifactError(
            "an entry of the ledger cannot be read",
            where=where,
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            next_step="if a newer Modelyard wrote this entry, read it with that version",
        ) from error


def check(document: Document, before: Document | None, where: str, *, model: str = "", key: str | None = None) -> None:
    """Check that an entry is what was written, and follows from the entry before it.

    Args:
        before: the entry before; None: this is the first one.
        key: the ledger key; None: the signature is not checked.

    Raises:
        CorruptArtifactError: says which of sequence, chain, digest and signature is wrong.
    """
    sequence = 1 if before is None else before["sequence"] + 1
    if document["sequence"] != sequence:
        raise CorruptArtifactError(
            "an entry is missing before this one", where=where, got=document["sequence"], expected=sequence
        )
    previous = FIRST if before is None else before["digest"]
    if document["previous"] != previous:
        raise CorruptArtifactError("the chain is broken", where=where, got=document["previous"], expected=previous)
    check_alone(document, where, model=model, key=key)


def check_alone(document: Document, where: str, *, model: str = "", key: str | None = None) -> None:
    """Check an entry's own digest and signature.

    Raises:
        CorruptArtifactError: the entry was changed, or it was not signed with this key.
    """
    try:
        actual = digest_of(document)
    except ValueError as error:
        raise CorruptArtifactError("an entry was changed", where=where, got=str(error)) from error
    if actual != document["digest"]:
        raise CorruptArtifactError("an entry was changed", where=where, got=actual, expected=document["digest"])
    if key is None:
        return
    if not is_signature(document.get("signature"), signature_of_entry(key, model, document["digest"])):
        raise CorruptArtifactError(
            f"this entry of {model} was not signed with the ledger key",
            where=where,
            got=document.get("signature") or "no signature",
            next_step="it was forged, or the key is another one: restore the database or the key from a backup",
        )
