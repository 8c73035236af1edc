"""Where the ledgers of a project lie: in a file of this machine, or on the server that `modelyard.toml` names."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from components.access import named_credentials, server_tls
from components.contracts import settings
from components.core import atomic, file_lock
from components.core.errors import CorruptArtifactError, Problem, SpecError, StackError
from components.core.project import Project
from components.release import ledger_database
from components.release.ledger_store import LedgerStore, Statements

DATABASE = "ledger.db"
SERVER = "server"  # a file that names the server, once the ledgers are there
_MOVED = (
    "CREATE TRIGGER IF NOT EXISTS moved BEFORE INSERT ON entry"
    " BEGIN SELECT RAISE(ABORT, 'the ledger was moved to the server'); END"
)
URL, CREDENTIALS = "MODELYARD_LEDGER", "MODELYARD_LEDGER_CREDENTIALS"

_known: dict[Path, tuple[tuple[object, ...], LedgerStore | None]] = {}  # by project: what it was made from


def store(project: Project) -> LedgerStore:
    """The store of a project's ledgers. Entries in the file move to the server the first time that one is named.

    While `modelyard.toml` is wrong, a process that has read it before goes on with what it said. Ledgers that are on a
    server are not looked for in a file because a settings file is empty for a moment: production would begin anew.

    Raises:
        SpecError: `modelyard.toml` or an environment variable is wrong.
        StackError: the ledgers are on a server that is not named any more; the credentials cannot be read, or the
            server does not answer when entries are to be moved there.
        CorruptArtifactError: the file and the server have different ledgers of a model.
    """
    path = project.ledger / DATABASE
    try:
        written = (project.root / settings.FILE_NAME).stat().st_mtime_ns
    except OSError:
        written = 0
    asked = (written, os.environ.get(URL), os.environ.get(CREDENTIALS))
    known = _known.get(project.root)
    if known is None or known[0] != asked:
        try:
            found = _named(project)
        except SpecError:
            if known is None:
                raise
        else:
            forget(project)
            known = _known[project.root] = (asked, found)
            if found is not None:
                _note_server(project, found)
    named = known[1]
    if named is None:
        _require_never_on_server(project)
        return ledger_database.at(path)
    if path.exists():
        _move(path, named)
    return named


def url(project: Project) -> str | None:
    """The URL of the server; None where the ledgers are in a file.

    Raises:
        SpecError: `modelyard.toml` or an environment variable is wrong.
    """
    text = os.environ.get(URL)
    if text is None:
        return settings.read(project.root).connections.ledger
    try:
        return settings.database_url(text)
    except ValueError as error:
        raise SpecError(f"environment variable {URL}", (Problem(URL, str(error)),)) from error


def forget(project: Project) -> None:
    """Close the connections to the server, if there are any; the next use opens others."""
    known = _known.pop(project.root, None)
    if known is not None and known[1] is not None:
        known[1].close()


def _note_server(project: Project, named: LedgerStore) -> None:
    path = project.ledger / SERVER
    with suppress(OSError):  # another user asks; the project's own processes note it
        if not path.exists() or path.read_text().strip() != named.where:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.write_text(path, f"{named.where}\n")


def _require_never_on_server(project: Project) -> None:
    path = project.ledger / SERVER
    try:
        server = path.read_text().strip()
    except OSError:
        return
    raise StackError(
        f"the release ledger is on a server, which {settings.FILE_NAME} does not name",
        where=str(project.root / settings.FILE_NAME),
        got=f"no `ledger` under [connections], and no {URL}",
        expected=server,
        next_step=f"name it again; to begin a ledger without any release in a file here, remove {path}",
    )


def _named(project: Project) -> LedgerStore | None:
    """The server's store; None where no server is named."""
    found = url(project)
    if found is None:
        return None
    from components.release.ledger_postgres import PostgresLedgerDatabase

    source = settings.read(project.root).connections.ledger_credentials
    found = server_tls.with_files(found, project.root)
    return PostgresLedgerDatabase(found, named_credentials.read(project.root, "ledger", source, CREDENTIALS))


def _move(path: Path, target: LedgerStore) -> None:
    """Copy the entries of the file to the server, all or none, and give the file another name."""
    with file_lock.locked(path.with_name("move.lock"), "another process that moves the ledger to the server"):
        if not path.exists():
            return
        database = ledger_database.at(path)
        with database.writing() as source, target.writing() as statements:
            if source.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:  # else other programs made it
                for head in list(source.execute("SELECT model, sequence, digest, signature FROM head")):
                    _move_model(source, statements, path, head)
                source.execute(_MOVED)  # a process that waits to write here would write into a file that is set aside
        database.close()  # what its log holds goes into the file
        moved = path.with_name(f"{path.name}.moved")
        if moved.exists():
            moved = path.with_name(f"{moved.name}-{time.time_ns()}")
        for suffix in ("-wal", "-shm", ""):  # the file last: a log without its file would be read into the next one
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(f"{moved}{suffix}")


def _move_model(source: Statements, target: Statements, path: Path, head: tuple[str, int, str, str]) -> None:
    model, sequence, digest, _ = head
    rows = "SELECT model, sequence, document FROM entry WHERE model = ? ORDER BY sequence"
    known = target.execute("SELECT document FROM entry WHERE model = ? AND sequence = ?", (model, sequence)).fetchone()
    if known is not None and f'"digest":"{digest}"' in known[0]:  # moved before, and gone on since
        return
    if target.execute("SELECT 1 FROM entry WHERE model = ?", (model,)).fetchone() is not None:
        raise CorruptArtifactError(
            f"there are two ledgers of {model}: on the server, and in a file that is not in it",
            where=str(path),
            got=f"{sequence} entries in the file",
            next_step="name the other server; or move the file to another folder, and keep it",
        )
    target.executemany(
        "INSERT INTO entry (model, sequence, document) VALUES (?, ?, ?)", list(source.execute(rows, (model,)))
    )
    target.executemany("INSERT INTO head (model, sequence, digest, signature) VALUES (?, ?, ?, ?)", [head])
