"""The door of a project's own servers: its secret, its cookie's name and its folder of used codes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from components.access import secret as secrets
from components.access.door import Application, Door
from components.core.errors import StackError
from components.core.project import Project

ID_LENGTH = 8


def secret_file(project: Project) -> Path:
    """Where the project's secret lies."""
    return project.state / "stack" / "secret"


def secret_of(project: Project) -> str | None:
    """The project's secret; None before its stack was started for the first time."""
    return secrets.read(secret_file(project))


def api_keys_file(project: Project, model: str) -> Path:
    """The API keys of a model's service (`components.access.api_keys`)."""
    return project.state / "api-keys" / f"{model}.jsonl"


def project_id(secret: str) -> str:
    """A short name for a project that tells nothing about its secret."""
    return hashlib.sha256(secrets.sign(secret, "project", "id").encode()).hexdigest()[:ID_LENGTH]


def used_codes(secret_path: Path) -> Path:
    """The folder in which used codes are noted: beside the secret."""
    return secret_path.parent / "used-codes"


def before(
    application: Application,
    project: Project,
    *,
    opened_by: str,
    handshake: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Door:
    """The door before a server of the project.

    Raises:
        StackError: the project has no secret.
    """
    return from_file(application, secret_file(project), opened_by=opened_by, handshake=handshake, settings=settings)


def from_file(
    application: Application,
    path: Path,
    *,
    opened_by: str,
    open_paths: frozenset[str] = frozenset(),
    guarded_headers: frozenset[bytes] = frozenset(),
    handshake: str | None = None,
    settings: Mapping[str, str] | None = None,
    names: frozenset[str] = frozenset(),
) -> Door:
    """The door with the secret in a file.

    Raises:
        StackError: there is none.
    """
    secret = secrets.read(path)
    if secret is None:
        raise StackError("the project has no secret", where=os.fspath(path), next_step="`modelyard up` makes one")
    return Door(
        application,
        secret=secret,
        project=project_id(secret),
        used_codes=used_codes(path),
        opened_by=opened_by,
        open_paths=open_paths,
        guarded_headers=guarded_headers,
        handshake=handshake,
        settings=settings,
        names=names,
    )
