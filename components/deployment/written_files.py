"""Files that an operator may edit: written again only where nobody has changed them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core import atomic, disk_space
from components.core.errors import UsageError
from components.identity import digest

RECORD = "modelyard-deploy.json"  # the digests of the files as they were written, beside them
OWNER = ("target", "model", "platform")  # facts of the record: a folder holds the files of one deployment


@dataclass(frozen=True)
class WrittenFiles:
    """What a call has done in the folder; names relative to the folder, sorted.

    Args:
        written: new, or with another content than before; without the overwritten ones.
        unchanged: there already with this content.
        removed: written by an earlier call, no longer needed, and not edited.
        overwritten: edited by a person, and replaced because of `force`.
        kept: edited by a person, and no longer needed; the record does not name them any more.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    overwritten: tuple[str, ...]
    kept: tuple[str, ...] = ()


def write(folder: Path, files: dict[str, str], about: dict[str, str], *, force: bool) -> WrittenFiles:
    """Write the files and the record of their digests; remove what an earlier call wrote and this one does not.

    Args:
        files: content by name; a name may hold folders.
        about: facts for the record, such as target and bundle.
        force: overwrite files that a person has edited.

    Raises:
        UsageError: the folder holds the files of another deployment; or files were edited since they were written, or
            were not written by `modelyard deploy`; nothing is changed then. Or the folder cannot be written to.
    """
    require_own(folder, about)
    try:
        return _write(folder, files, about, force=force)
    except OSError as error:
        if disk_space.is_full(error):
            raise
        raise UsageError(
            "the files cannot be written", where=str(error.filename or folder), got=error.strerror
        ) from error


def require_own(folder: Path, about: dict[str, str]) -> None:
    """Check that a folder holds no files of another deployment: they would be removed as no longer needed.

    Args:
        about: as in `write`.

    Raises:
        UsageError: it does.
    """
    record = _record(folder)
    if record.get("target") is None or all(record.get(key) == about.get(key) for key in OWNER):
        return
    raise UsageError(
        "this folder holds the files of another deployment; nothing was changed",
        where=str(folder / RECORD),
        got=_named(record),
        expected=_named(about),
        next_step="name another folder with --out; or remove this one first, if nothing runs from it",
    )


def _named(about: dict[str, Any]) -> str:
    return f"target {about['target']}, " + (f"model {about['model']}" if about.get("model") else "the platform alone")


def _write(folder: Path, files: dict[str, str], about: dict[str, str], *, force: bool) -> WrittenFiles:
    recorded = _recorded(folder)
    present = {name: _digest(folder / name) for name in {*files, *recorded}}
    wanted = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    edited = sorted(
        name
        for name, found in present.items()
        if found is not None and found not in (recorded.get(name), wanted.get(name))
    )
    if edited and not force:
        raise UsageError(
            "files were edited, or were not written by `modelyard deploy`; nothing was changed",
            where=str(folder),
            got=", ".join(edited),
            expected="the files as they were written",
            next_step="keep the changes in a kustomization or a compose override beside them, or overwrite: --force",
        )
    written = sorted(name for name in files if present[name] != wanted[name])
    not_needed = sorted(name for name in recorded if name not in files and present[name] is not None)
    obsolete = [name for name in not_needed if name not in edited]
    folder.mkdir(parents=True, exist_ok=True)
    for name in written:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, files[name])
    for name in obsolete:
        (folder / name).unlink()
    record = {**about, "files": dict(sorted(wanted.items()))}
    atomic.write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return WrittenFiles(
        written=tuple(name for name in written if name not in edited),
        unchanged=tuple(sorted(name for name in files if name not in written)),
        removed=tuple(obsolete),
        overwritten=tuple(name for name in edited if name in files),
        kept=tuple(name for name in not_needed if name in edited),
    )


def _record(folder: Path) -> dict[str, Any]:
    """What an earlier call recorded; {} without a readable record."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _recorded(folder: Path) -> dict[str, str]:
    """The digests that an earlier call recorded; {} without a readable record, which protects all files."""
    found = _record(folder).get("files")
    if not isinstance(found, dict):
        return {}
    return {str(name): str(value) for name, value in found.items() if _is_inside(folder, str(name))}


def _is_inside(folder: Path, name: str) -> bool:
    """A record may have been edited: no file elsewhere is removed for it."""
    return (folder / name).resolve().is_relative_to(folder.resolve())


def _digest(path: Path) -> str | None:
    try:
        return digest.of_file(path)
    except FileNotFoundError:
        return None
