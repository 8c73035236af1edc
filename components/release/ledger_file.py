"""A ledger as JSON lines: what is exported and checked, and the file of before that the database takes over.

An exported file has an entry a line and, last, the end of the chain: model, number of the last entry, its digest, and
their signature. Without that line, or with an entry less, the file is not whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from components.core.errors import CorruptArtifactError, NotFoundError
from components.release import entry as entries
from components.release.entry import Document


@dataclass(frozen=True)
class CheckedFile:
    """An exported file whose chain is whole.

    Args:
        head: digest of the last entry.
        signed: whether the signatures were checked; False: there was no key at hand.
    """

    model: str
    entries: int
    head: str
    signed: bool


def write(stream: TextIO, model: str, key: str, documents: list[Document]) -> None:
    """Write checked entries and the signed end of their chain."""
    last = documents[-1]
    signature = entries.signature_of_head(key, model, last["sequence"], last["digest"])
    head = {"model": model, "sequence": last["sequence"], "digest": last["digest"], "signature": signature}
    for line in (*documents, {"head": head}):
        stream.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")


def check(path: Path, key: str | None) -> CheckedFile:
    """Check the chain of an exported file, and its signatures where the key is at hand.

    Raises:
        NotFoundError: there is no such file.
        CorruptArtifactError: names the first line that does not fit.
    """
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise CorruptArtifactError("this is no exported ledger", where=str(path), got="no UTF-8") from error
    head = _head(path, lines)
    model = head["model"]
    documents = _chain(path, lines[:-1], model, key)
    last = documents[-1] if documents else None
    if last is None or (last["sequence"], last["digest"]) != (head["sequence"], head["digest"]):
        raise CorruptArtifactError(
            "entries were cut off the end of this file",
            where=f"{path}:{len(lines)}",
            got=f"entry {last['sequence'] if last else 0} with digest {last['digest'] if last else entries.FIRST}",
            expected=f"entry {head['sequence']} with digest {head['digest']}",
        )
    if key is not None and not entries.is_signature(
        head["signature"], entries.signature_of_head(key, model, head["sequence"], head["digest"])
    ):
        raise CorruptArtifactError(
            "the end of this file was not signed with the ledger key",
            where=f"{path}:{len(lines)}",
            next_step="it was forged, or another project wrote the file: name that project's key with --key",
        )
    return CheckedFile(model, len(documents), last["digest"], key is not None)


def read_old(path: Path) -> list[Document]:
    """The entries of a ledger file of before, its chain checked; they have no signatures.

    A line that a kill cut off in the middle was never acknowledged: it is left out.

    Raises:
        CorruptArtifactError: names the first line that does not fit, and says what to do.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    whole = [line.decode(errors="replace") for line in lines if line.endswith(b"\n")]
    try:
        return _chain(path, whole, "", None)
    except CorruptArtifactError as error:
        raise CorruptArtifactError(
            f"the ledger file of before cannot be taken over: {error.what}",
            where=error.where,
            got=error.got,
            expected=error.expected,
            next_step=f"restore {path.name} from a backup; without one, move it to another folder and keep it: "
            "the ledger then begins anew, with what serves now",
        ) from error


def _head(path: Path, lines: list[str]) -> Document:
    kinds = {"model": str, "sequence": int, "digest": str, "signature": str}
    try:
        head = json.loads(lines[-1])["head"]
        if all(isinstance(head[name], kind) for name, kind in kinds.items()):
            return dict(head)
    except (IndexError, ValueError, KeyError, TypeError):
        pass
    raise CorruptArtifactError(
        "the end of this exported ledger is missing",
        where=f"{path}:{len(lines)}",
        expected=f'a last line {{"head": ...}} with {", ".join(kinds)}',
        next_step="entries were cut off, or this is no file of `modelyard history NAME --export`",
    )


def _chain(path: Path, lines: list[str], model: str, key: str | None) -> list[Document]:
    documents: list[Document] = []
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        document = entries.parsed(line, where)
        entries.check(document, documents[-1] if documents else None, where, model=model, key=key)
        documents.append(document)
    return documents
