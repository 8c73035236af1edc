"""Which registry production follows: another one is not followed before a person says so.

The versions of two registries have the same numbers and are other models. A registry that was named a moment ago, and
knows no model yet, gives no order to take what serves out of production.
"""

from __future__ import annotations

from pathlib import Path

from components.contracts import settings
from components.core import atomic
from components.core.errors import StackError
from components.core.project import Project
from components.release import ledger
from flows.platform import connections, state

OPTION = "--follow-registry"
OWN_FILES = "the project's own files"


def place(project: Project) -> str:
    """The registry that the settings name: a server's URL, a database, or the project's own files.

    Raises:
        SpecError: `modelyard.toml` or an environment variable is wrong.
    """
    server = connections.of(project).mlflow
    if not server.is_own:
        return str(server.url)
    return settings.read(project.root).servers.mlflow or OWN_FILES


def follow(project: Project) -> None:
    """From now on production follows the registry that the settings name."""
    path = state.folder(project) / "followed-registry"
    if followed(project) != place(project):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, place(project) + "\n")
    _begun_file(project).unlink(missing_ok=True)


def begin(project: Project) -> None:
    """Note that the ledgers are about to say which registry is followed; `follow` ends it."""
    path = _begun_file(project)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, place(project) + "\n")


def begun(project: Project) -> str | None:
    """The registry that some ledgers may name already, as following it was cut off; None: nothing was cut off."""
    try:
        return _begun_file(project).read_text().strip()
    except FileNotFoundError:
        return None


def before(project: Project) -> str:
    """The registry that production followed before the one that the settings name, also where that was cut off."""
    cut_off = begun(project)
    if cut_off not in (None, place(project)):
        return str(cut_off)
    return followed(project) or OWN_FILES


def _begun_file(project: Project) -> Path:
    return state.folder(project) / "following-registry"


def followed(project: Project) -> str | None:
    """The registry that production follows; None before the first look."""
    try:
        return (state.folder(project) / "followed-registry").read_text().strip()
    except FileNotFoundError:
        return None


def another(project: Project) -> str | None:
    """Why the registry that is named now is not followed; None where it is, and before the first release."""
    before, now = followed(project), place(project)
    if (cut_off := begun(project)) is not None:
        return f"following {cut_off} was cut off, and ledgers may name it already: nothing is switched"
    if before in (None, now) or not ledger.heads(project):
        return None
    return f"production follows {before}, and {now} is another registry: nothing is switched"


def require(project: Project) -> None:
    """Check that production follows the registry that is named now.

    Raises:
        StackError: it does not.
    """
    if (why := another(project)) is not None:
        raise StackError(
            "production does not follow this registry",
            got=why,
            next_step=f"`modelyard up {OPTION}` lets it; or name the registry of before in {settings.FILE_NAME}",
        )
