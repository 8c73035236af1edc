"""Notes of who set an alias: the project's MLflow server writes a note with each change, and a release reads the note.

MLflow does not record who set an alias. A note is consumed when the release begins.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from components.access import project_door
from components.access import secret as secrets_of_project
from components.core import atomic
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest

REASON_HEADER = "X-Modelyard-Reason"  # the command that the client typed, such as `modelyard promote digits 3`
ON_BEHALF_HEADER = "X-Modelyard-On-Behalf"  # a user's name; believed from the platform's own account alone
EXPECTED_HEADER = "X-Modelyard-Expected"  # the version that the alias names until now; empty: none


class AliasNote(Strict):
    """One change of an alias.

    Args:
        version: the new version; None: the alias was deleted.
        by: the user of the connection, or the user that the client named.
        claimed: the user that the client named, if any.
        known_by: the source of `by`: secret or cookie, and the user id of the connection.
        how: the command or page by which it was set.
        user: the user of MLflow who logged in; None where people have no names of their own.
        signature: HMAC of the rest with the project's secret; without it, `user` is not believed.
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
    user: str | None = Field(default=None, exclude_if=lambda user: user is None)
    signature: str = Field(default="", exclude_if=lambda signature: not signature)

    @staticmethod
    def new(
        model: str, alias: str, version: str | None, *, by: str, claimed: str | None, known_by: str, how: str
    ) -> AliasNote:
        """Make a note with the current time."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return AliasNote(
            id=secrets.token_hex(8), model=model, alias=alias, version=version, by=by, claimed=claimed,
            known_by=known_by, how=how, at=at,
        )  # fmt: skip


def signed(project: Project, note: AliasNote) -> AliasNote:
    """A note with its signature, if it names a user who logged in."""
    secret = project_door.secret_of(project)
    if note.user is None or secret is None:
        return note
    return note.model_copy(update={"signature": _signature(secret, note)})


def write(project: Project, note: AliasNote) -> None:
    """Write a note; it replaces an older note of the same alias."""
    atomic.write_text(_path(project, note.model, note.alias), note.model_dump_json(indent=1) + "\n")


def read(project: Project, model: str, alias: str) -> AliasNote | None:
    """The note of the last change of an alias, if no release has consumed it.

    A user whom it names without the right signature is left out: whoever can write to the folder can write a note.
    """
    try:
        note = AliasNote.model_validate_json(_path(project, model, alias).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if note.user is None or _is_signed(project, note, model, alias):
        return note
    return note.model_copy(update={"user": None, "known_by": "a note without the right signature"})


def consume(project: Project, note: AliasNote) -> None:
    """Remove a note, unless a newer note has replaced it."""
    stored = read(project, note.model, note.alias)
    if stored is not None and stored.id == note.id:
        _path(project, note.model, note.alias).unlink(missing_ok=True)


def folder(project: Project) -> Path:
    """The folder of the notes; its files change with each change of an alias."""
    return project.state / "alias-notes"


def _is_signed(project: Project, note: AliasNote, model: str, alias: str) -> bool:
    secret = project_door.secret_of(project)
    about = (note.model, note.alias) == (model, alias)
    return about and secret is not None and secrets_of_project.matches(note.signature, _signature(secret, note))


def _signature(secret: str, note: AliasNote) -> str:
    return secrets_of_project.sign(secret, "alias note", note.model_dump_json(exclude={"signature"}))


def _path(project: Project, model: str, alias: str) -> Path:
    # The model's name is untrusted text: the file name is a digest.
    return folder(project) / f"{digest.of_value([model, alias])[:32]}.json"
