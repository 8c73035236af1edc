"""A database is complete or missing, whenever the process that creates it is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest

from components.core import atomic_database

SLOWLY = """
import sqlite3, sys, time
from pathlib import Path
from components.core import atomic_database
def build(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    for number in range(40):
        connection.execute(f"CREATE TABLE t{number} (x)")
        connection.execute(f"INSERT INTO t{number} VALUES ({number})")
        connection.commit()
        print(number, flush=True)
        time.sleep(0.005)
    # Left open: as a server's engine leaves its connections.
    globals()["kept"] = connection
print("made", atomic_database.create(Path(sys.argv[1]), build), flush=True)
"""

MLFLOW = """
import sys
from pathlib import Path
from components.core import atomic_database
from components.registry import server
atomic_database.create(Path(sys.argv[1]), server._make_tables)
"""


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.parametrize("lines", [1, 7, 23, 39])
def test_a_killed_maker_leaves_nothing_and_the_next_one_makes_it_whole(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "server" / "some.db"
    arguments = [sys.executable, "-c", SLOWLY, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
    assert not path.exists()
    completed = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert completed.stdout.endswith("made True\n")
    assert len(tables(path)) == 40
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["some.db"]


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    assert not atomic_database.create(path, lambda _: pytest.fail("it was made anew"))
    assert tables(path) == {"mine"}


def build_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE one (x)")


def test_the_next_project_copies_what_the_first_one_made(tmp_path: Path) -> None:
    template = tmp_path / "environment" / "server-1.db"
    assert atomic_database.create(tmp_path / "a" / "some.db", build_one, template)
    assert atomic_database.create(tmp_path / "b" / "some.db", lambda _: pytest.fail("it was made anew"), template)
    assert tables(tmp_path / "b" / "some.db") == {"one"}
    assert [entry.name for entry in (tmp_path / "b").iterdir()] == ["some.db"]
    with closing(sqlite3.connect(tmp_path / "b" / "some.db")) as connection:  # a copy, not a link
        connection.execute("CREATE TABLE two (x)")
    assert tables(template) == {"one"}


def test_a_damaged_template_is_made_anew(tmp_path: Path) -> None:
    template = tmp_path / "server-1.db"
    template.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert atomic_database.create(tmp_path / "a" / "some.db", build_one, template)
    assert tables(tmp_path / "a" / "some.db") == tables(template) == {"one"}


def test_where_no_template_can_be_kept_each_project_makes_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert atomic_database.create(tmp_path / "a" / "some.db", build_one, tmp_path / "file" / "server-1.db")
    assert tables(tmp_path / "a" / "some.db") == {"one"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_not_read_the_environment_makes_its_own(tmp_path: Path) -> None:
    template, place = tmp_path / "environment" / "server-1.db", tmp_path / "project"
    assert atomic_database.create(tmp_path / "a" / "some.db", build_one, template)
    template.parent.chmod(0o700)
    place.mkdir()
    os.chown(place, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        made = atomic_database.create(place / "some.db", build_one, template)
        os._exit(0 if made and tables(place / "some.db") == {"one"} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_template_belongs_to_the_installed_version() -> None:
    found = atomic_database.template_of("prefect")
    assert found.is_relative_to(sys.prefix)
    assert found.name == f"prefect-{metadata.version('prefect')}.db"


@pytest.mark.slow
def test_mlflow_killed_while_it_makes_its_tables_starts_well_the_next_time(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", MLFLOW, "mlflow/mlflow.db"]
    building, path = tmp_path / "mlflow" / "mlflow.db.building", tmp_path / "mlflow" / "mlflow.db"
    root = str(Path(__file__).resolve().parents[2])
    variables = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(arguments, cwd=tmp_path, env=variables) as process:
        deadline = time.monotonic() + 120
        while not building.exists() or len(_tables_of(building)) < 8:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    subprocess.run(arguments, cwd=tmp_path, env=variables, check=True)
    made = tables(path)
    assert {"experiments", "runs", "registered_models", "alembic_version"} <= made
    assert not [name for name in made if name.startswith("_alembic_tmp_")]


def _tables_of(path: Path) -> set[str]:
    try:
        return tables(path)
    except sqlite3.Error:  # it is being written
        return set()
