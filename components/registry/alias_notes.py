"""Who set an alias: a note that the project's MLflow server writes with each change, read once by the release.

MLflow itself does not say who set an alias. A note counts for one release: it is consumed when that release begins.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from components.core import atomic
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest

REASON_HEADER = "X-Modelyard-Reason"  # what the client typed, such as `modelyard promote digits 3`


class AliasNote(Strict):
    """One change of an alias.

    Args:
        version: what it was set to; None: it was taken away.
        by: the user at the other end of the connection, or who the client said it was.
        claimed: who the client said it was, if it did.
        known_by: how `by` is known: secret or cookie, and the user id of the connection.
        how: the command or page by which it was set.
    """

    id: str
    model: str
    alias: str
    version: str | None
    by: str
    claimed: str | None
    known_by: str
    how: str
    at: str

    @staticmethod
    def new(
        model: str, alias: str, version: str | None, *, by: str, claimed: str | None, known_by: str, how: str
    ) -> AliasNote:
        """A note of now."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return AliasNote(
            id=secrets.token_hex(8), model=model, alias=alias, version=version, by=by, claimed=claimed,
            known_by=known_by, how=how, at=at,
        )  # fmt: skip


def write(project: Project, note: AliasNote) -> None:
    """Keep a note; it takes the place of an older one about the same alias."""
    atomic.write_text(_path(project, note.model, note.alias), note.model_dump_json(indent=1) + "\n")


def read(project: Project, model: str, alias: str) -> AliasNote | None:
    """The note of the last change of an alias, if no release has consumed it."""
    try:
        return AliasNote.model_validate_json(_path(project, model, alias).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def consume(project: Project, note: AliasNote) -> None:
    """Remove a note, unless a newer one has taken its place."""
    present = read(project, note.model, note.alias)
    if present is not None and present.id == note.id:
        _path(project, note.model, note.alias).unlink(missing_ok=True)


def folder(project: Project) -> Path:
    """The folder of the notes: it changes with each change of an alias."""
    return project.state / "alias-notes"


def _path(project: Project, model: str, alias: str) -> Path:
    # A model's name is anybody's text: its digest is a file's name.
    return folder(project) / f"{digest.of_value([model, alias])[:32]}.json"
