"""Credentials of a server that a project names: read from where `modelyard.toml` or the environment says."""

from __future__ import annotations

import os
from pathlib import Path

from components.access.secret import Credentials
from components.contracts import settings
from components.contracts.settings import CredentialSource
from components.core.errors import StackError


def read(root: Path, name: str, source: CredentialSource | None, variable: str) -> Credentials | None:
    """The credentials of a server; None where it needs none.

    Args:
        root: of the project.
        name: of the server, as in `[connections]`, or `servers`, `redis` or `people`.
        source: what `modelyard.toml` says.
        variable: the environment variable that goes before it.

    Raises:
        StackError: the environment variable is not set, or the file or Prefect's block cannot be read.
    """
    others = {"servers": "servers.credentials", "redis": "servers.redis_credentials", "people": "people.proxy_secret"}
    key = others.get(name, f"connections.{name}_credentials")
    text = os.environ.get(variable)
    if text is None and source is not None and source.env is not None:
        text = os.environ.get(source.env)
        if text is None:
            raise StackError(
                f"the environment variable with the credentials of {name} is not set",
                where=f"{settings.FILE_NAME}, {key}",
                expected=source.env,
                next_step=f"export {source.env}=USER:PASSWORD, or a token",
            )
    if text is None and source is not None and source.file is not None:
        path = root / Path(source.file).expanduser()
        try:
            text = path.read_text().strip()
        except OSError as error:
            raise StackError(
                f"the file with the credentials of {name} cannot be read",
                where=str(path),
                got=error.strerror,
                next_step=f"correct {key} in {settings.FILE_NAME}",
            ) from error
    if text is None and source is not None and source.prefect_secret is not None:
        from components.access import prefect_secret

        text = prefect_secret.read(root, source.prefect_secret, f"{settings.FILE_NAME}, {key}")
    if not text:
        return None
    user, colon, password = text.partition(":")
    return Credentials(user, password) if colon else Credentials("", text, bearer=True)
