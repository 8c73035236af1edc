"""The ledger on a real PostgreSQL server: the same chain, shared by machines."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from components.access.secret import Credentials
from components.contracts import settings
from components.core.errors import CorruptArtifactError, SpecError, StackError
from components.core.project import Project
from components.registry.api import Api, MissingError
from components.release import ledger as ledgers
from components.release import ledger_place
from components.release.ledger import Entry, Event, Ledger, MovedOnError, VersionRef
from components.release.ledger_postgres import PostgresLedgerDatabase
from components.release.production import PRODUCTION, Pin, Production
from flows.cli.history import history
from flows.platform import diagnostics, followed_registry
from flows.releases import controller, promotion, registry_change
from flows.releases.controller import Controller
from flows.releases.registry_poll import RegistryPoll
from tests import postgres_server
from tests.postgres_server import PASSWORD, USER, PostgresServer
from tests.release.small_ledger import two_releases
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server.running() as found:
        yield found


@pytest.fixture
def machine(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose `modelyard.toml` names the server; its database is empty."""
    with closing(_connect(server)) as connection:
        connection.execute("DROP SCHEMA IF EXISTS modelyard CASCADE")
    monkeypatch.setenv("LEDGER_LOGIN", server.credentials)
    yield _machine(tmp_path / "one", server)
    for root in tmp_path.iterdir():
        ledger_place.forget(Project(root))


def _machine(root: Path, server: PostgresServer, other: Project | None = None) -> Project:
    """A machine with a project; with the key of another one, if that is named."""
    project = Project(root)
    project.pipelines.mkdir(parents=True)
    (root / "modelyard.toml").write_text(
        f'[connections]\nledger = "{server.url}"\nledger_credentials = {{env = "LEDGER_LOGIN"}}\n'
    )
    if other is not None:
        project.ledger.mkdir(parents=True)
        shutil.copy(other.ledger / "key", project.ledger / "key")
    return project


def _connect(server: PostgresServer) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url, user=USER, password=PASSWORD, autocommit=True)


def _append(project: Project, model: str = "digits", if_last: int | None = None, **facts: object) -> Entry:
    return ledgers.of(project, model).append(
        "compared", release="r", role="champion", before=None, after=None, asked_by="a test", facts=facts,
        if_last=if_last,
    )  # fmt: skip


def test_machines_with_the_same_key_share_one_chain(machine: Project, server: PostgresServer, tmp_path: Path) -> None:
    assert (ledgers.of(machine, "digits").entries(), ledgers.heads(machine), ledgers.models(machine)) == ([], {}, [])
    first = _append(machine, words="naïve \u0000 'quoted' ?")
    second = _append(_machine(tmp_path / "two", server, machine))
    assert (second.sequence, second.previous) == (2, first.digest)
    assert ledgers.of(machine, "digits").entries() == [first, second]
    assert ledgers.heads(machine) == {"digits": (2, second.digest)}
    assert not (machine.ledger / "ledger.db").exists()
    with pytest.raises(MovedOnError):
        _append(machine, if_last=1)
    assert ledgers.of(machine, "digits").head() == second


def test_a_machine_without_the_key_says_so_and_writes_nothing(
    machine: Project, server: PostgresServer, tmp_path: Path
) -> None:
    entry = _append(machine)
    stranger = _machine(tmp_path / "two", server)
    with pytest.raises(CorruptArtifactError, match="the ledger key is missing") as refused:
        _append(stranger)
    assert "copy .modelyard/ledger/key" in str(refused.value.next_step)
    assert "--sign-anew" not in str(refused.value.next_step), "the other machine could not read it any more"
    (stranger.root / "dvc.yaml").touch()
    said = CliRunner().invoke(history, ["--sign-anew"], env={"MODELYARD_PROJECT": str(stranger.root)})
    assert "copy the key from one of them; or give --yes" in str(getattr(said.exception, "next_step", ""))
    assert ledgers.key_problem(stranger) == "this machine has no ledger key"
    stranger.ledger.mkdir(parents=True, exist_ok=True)
    (stranger.ledger / "key").write_text("another")
    (stranger.ledger / "key").chmod(0o600)
    with pytest.raises(CorruptArtifactError, match="not signed with the ledger key"):
        _append(stranger)
    assert "another ledger key" in str(ledgers.key_problem(stranger))
    assert ledgers.of(machine, "digits").entries() == [entry]
    assert ledgers.key_problem(machine) is None


def test_a_settings_file_that_names_no_server_for_a_moment_begins_no_ledger(
    machine: Project, server: PostgresServer, tmp_path: Path
) -> None:
    entry = _append(machine)
    other = _machine(tmp_path / "two", server, machine)
    followed_registry.follow(other)
    assert len(ledgers.heads(other)) == 1
    for project in (machine, other):
        path = project.root / settings.FILE_NAME
        text = path.read_text()
        path.write_text("")
        os.utime(path, (0, 0))
        assert len(ledgers.heads(project)) == 1, "a process that runs goes on with what the file said"
        ledger_place.forget(project)
        with pytest.raises(SpecError, match="the file is empty"):
            ledgers.heads(project)
        for content in ("# nothing any more\n", "[serving]\nabsent_hosts = 1\n"):
            path.write_text(content)
            os.utime(path, (0, 0))
            for read in (ledgers.heads, ledgers.models, lambda one: ledgers.of(one, "digits").entries()):
                with pytest.raises(StackError, match="the release ledger is on a server") as refused:
                    read(project)
                assert refused.value.expected == server.url
            with pytest.raises(StackError, match="the release ledger is on a server"):
                _append(project)
        path.write_text(text)
        assert ledgers.of(project, "digits").entries() == [entry]
    assert not (other.ledger / ledger_place.DATABASE).exists()
    (other.ledger / ledger_place.SERVER).unlink()
    (other.root / settings.FILE_NAME).unlink()
    os.utime(other.root, (0, 0))
    assert ledgers.heads(other) == {}, "who says so begins anew"


def test_a_controller_that_cannot_read_the_ledger_lets_another_machine_lead(
    machine: Project, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "KEY_SECONDS", 0.0)
    _append(machine)
    keyless = _machine(tmp_path / "two", server)

    def of(project: Project) -> Controller:
        poll = RegistryPoll(Api("http://127.0.0.1:9"), project)
        return Controller(project, poll, leadership=ledger_place.store(project).hold("controller"))

    late, able = of(keyless), of(machine)
    assert not late._leads()
    assert "no ledger key, so this controller does not lead" in late.logged["leadership"]
    assert able._leads()
    shutil.copy(machine.ledger / "key", keyless.ledger / "key")
    assert not late._leads()
    assert "another machine's controller leads" in late.logged["leadership"]
    (machine.ledger / "key").unlink()
    assert not able._leads()
    assert late._leads(), "the other one has let it go"
    late.leadership.leave()


def test_a_leader_that_cannot_read_its_settings_or_its_key_lets_another_lead(
    machine: Project, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "KEY_SECONDS", 0.0)
    _append(machine)
    other = _machine(tmp_path / "two", server, machine)
    first, second = (
        Controller(
            project,
            RegistryPoll(Api("http://127.0.0.1:9"), project),
            leadership=ledger_place.store(project).hold("controller"),
        )
        for project in (machine, other)
    )
    path, key = machine.root / settings.FILE_NAME, machine.ledger / "key"
    text = path.read_text()
    for spoil, mend in (
        (lambda: path.write_text("[serving]\nabsent_hosts = 1\n"), lambda: path.write_text(text)),
        (lambda: key.chmod(0o644), lambda: key.chmod(0o600)),
    ):
        assert first._leads()
        assert not second._leads()
        spoil()
        assert not first._leads()
        assert "this controller does not lead" in first.logged["leadership"]
        assert second._leads()
        mend()
        assert not first._leads()
        second.leadership.leave()
    first.leadership.leave()


def test_a_machine_with_a_registry_of_its_own_switches_nothing_of_the_team(
    machine: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = Pin(version="4", package_digest="4" * 64, bundle="digits:4", bundle_digest=None)
    facts = {PRODUCTION: Production(champion=pin).model_dump(mode="json")}
    ledgers.of(machine, "digits").append(
        "served", release="r", role="champion", before=None, after=pin.side, asked_by="a person", facts=facts
    )
    there: dict[str, str] = {}
    monkeypatch.setattr(controller, "REGISTRY_SECONDS", 0.0)

    def by_number(_: Api, name: str, number: str) -> Any:
        if number not in there:
            raise MissingError(f"no {name} version {number}")
        return SimpleNamespace(package_digest=there[number])

    monkeypatch.setattr(registry_change.versions, "by_number", by_number)
    poll = RegistryPoll(Api("http://127.0.0.1:9"), machine)
    monkeypatch.setattr(poll, "aliases", dict)
    found = Controller(machine, poll, leadership=ledger_place.store(machine).hold("controller"))
    assert found._aliases() is None
    assert "digits version 4 is not in the project's own files" in str(found.not_followed)
    with pytest.raises(StackError, match="does not follow this registry"):
        promotion.promote(machine, poll.api, "digits", "1", "champion", "a test", print)
    assert followed_registry.followed(machine) is None
    assert not found._leads(), "another machine may have the registry"
    there["4"] = "5" * 64
    assert found._aliases() is None
    assert not found._leads()
    there["4"] = "4" * 64
    assert found._leads()
    found.leadership.leave()
    assert found._aliases() == {}
    assert followed_registry.followed(machine) == followed_registry.place(machine)


def test_a_controller_ends_when_the_ledger_moves(machine: Project, server: PostgresServer) -> None:
    path = machine.root / settings.FILE_NAME
    text = path.read_text()
    path.unlink()
    poll = RegistryPoll(Api("http://127.0.0.1:9"), machine)
    found = Controller(machine, poll, ledger_where=ledger_place.store(machine).where)
    assert not found.is_ledger_elsewhere()
    path.write_text("no TOML")
    assert not found.is_ledger_elsewhere()
    path.write_text(text)
    assert found.is_ledger_elsewhere()


def test_who_waits_for_a_release_waits_for_the_ledger_too(machine: Project, server: PostgresServer) -> None:
    said: list[str] = []
    ledger = ledgers.of(machine, "digits")
    after = VersionRef(version="2", package_digest="2" * 64)

    def add(event: Event) -> None:
        ledger.append(event, release="r", role="champion", before=None, after=after, asked_by="a person")

    add("asked")
    with ThreadPoolExecutor(1) as threads, pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion, "SAY_SECONDS", 0.5)
        waiting = threads.submit(promotion.follow, machine, "digits", "champion", "2", 0, said.append)
        eventually(lambda: said, "the first step is said")
        server.stop()
        eventually(lambda: any("for the ledger: the ledger's database does not answer" in one for one in said), "said")
        server.start()
        add("served")
        assert waiting.result(30).version == "2"
    assert said[-1].startswith("served")
    server.stop()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(promotion, "START_SECONDS", -1.0)
            with pytest.raises(StackError, match="does not answer") as refused:
                promotion.follow(machine, "digits", "champion", "3", 2, said.append)
        assert "the controller follows once the database is back" in str(refused.value.next_step)
    finally:
        server.start()


def test_a_row_that_was_changed_or_cut_off_on_the_server_is_noticed(machine: Project, server: PostgresServer) -> None:
    for _ in range(3):
        _append(machine)
    with closing(_connect(server)) as connection:
        connection.execute("UPDATE modelyard.entry SET document = replace(document, 'a test', 'b test')"
                           " WHERE sequence = 2")  # fmt: skip
        with pytest.raises(CorruptArtifactError) as caught:
            ledgers.of(machine, "digits").entries()
        assert caught.value.where == f"{server.url}, digits entry 2"
        connection.execute("UPDATE modelyard.entry SET document = replace(document, 'b test', 'a test')"
                           " WHERE sequence = 2")  # fmt: skip
        assert len(ledgers.of(machine, "digits").entries()) == 3
        connection.execute("DELETE FROM modelyard.entry WHERE sequence = 3")
        with pytest.raises(CorruptArtifactError, match="cut off"):
            ledgers.of(machine, "digits").entries()


def test_writers_of_several_machines_follow_one_another(
    machine: Project, server: PostgresServer, tmp_path: Path
) -> None:
    _append(machine)
    program = (
        "import sys; from pathlib import Path; from components.core.project import Project\n"
        "from tests.release.test_ledger_postgres import _append\n"
        "for _ in range(20): _append(Project(Path(sys.argv[1])))"
    )
    folders = [_machine(tmp_path / f"machine-{number}", server, machine).root for number in range(4)]
    writers = [subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=ROOT) for folder in folders]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert [entry.sequence for entry in ledgers.of(machine, "digits").entries()] == list(range(1, 82))


def test_a_server_that_was_killed_is_found_again_and_has_every_entry(machine: Project, server: PostgresServer) -> None:
    _append(machine)
    server.stop()
    with pytest.raises(StackError, match="does not answer") as caught:
        _append(machine)
    assert PASSWORD not in str(caught.value)
    with pytest.raises(StackError, match="does not answer"):
        ledgers.heads(machine)
    server.start()
    assert len(ledgers.of(machine, "digits").entries()) == 1
    assert _append(machine).sequence == 2


def test_entries_of_the_file_move_to_the_server(
    machine: Project, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = two_releases(machine.ledger).entries()
    fashion = two_releases(machine.ledger, "fashion").entries()
    assert ledgers.of(machine, "digits").entries() == before
    assert ledgers.models(machine) == ["digits", "fashion"]
    assert not (machine.ledger / "ledger.db").exists()
    assert (machine.ledger / "ledger.db.moved").exists()
    assert _append(machine).previous == before[-1].digest
    assert ledgers.of(machine, "fashion").entries() == fashion
    # The same file once more, as after a kill between the two: nothing is there twice.
    shutil.copy(machine.ledger / "ledger.db.moved", machine.ledger / "ledger.db")
    assert len(ledgers.of(machine, "digits").entries()) == len(before) + 1
    assert len(list(machine.ledger.glob("ledger.db.moved*"))) == 2
    # A process that still has the file cannot write into it.
    (machine.ledger / "ledger.db").touch()  # as `sqlite3 ledger.db` leaves it: it has nothing to move
    assert ledgers.of(machine, "digits").entries()
    assert not (machine.ledger / "ledger.db").exists()

    shutil.copy(machine.ledger / "ledger.db.moved", tmp_path / "ledger.db")
    shutil.copy(machine.ledger / "key", tmp_path / "key")
    late = Ledger(tmp_path, "digits")
    with pytest.raises(StackError, match="does not answer") as refused:
        late.append("compared", release="r", role="champion", before=None, after=None, asked_by="a test")
    assert "was moved to the server" in str(refused.value)
    # Another ledger of the same model is not mixed with it.
    other = Project(tmp_path / "other")
    two_releases(other.ledger)
    _append_other = Ledger(other.ledger, "digits")
    _append_other._database.close()  # type: ignore[attr-defined]  # what its log holds goes into the file
    shutil.copy(other.ledger / "ledger.db", machine.ledger / "ledger.db")
    with pytest.raises(CorruptArtifactError, match="two ledgers of digits"):
        ledgers.of(machine, "digits")
    assert (machine.ledger / "ledger.db").exists()


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:secret@db/ledger", "postgresql://db/ledger?password=secret", "https://db/ledger", "db/ledger"],
)
def test_a_url_with_a_password_or_of_another_kind_is_refused(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ledger_place.URL, url)
    with pytest.raises(SpecError) as caught:
        ledger_place.store(Project(tmp_path))
    assert "secret" not in str(caught.value)
    monkeypatch.delenv(ledger_place.URL)
    for section, key in (("connections", "ledger"), ("connections", "mlflow"), ("servers", "mlflow")):
        wrong = "https://ann:secret@mlflow" if (section, key) == ("connections", "mlflow") else url
        (tmp_path / "modelyard.toml").write_text(f'[{section}]\n{key} = "{wrong}"\n')
        with pytest.raises(SpecError) as caught:
            settings.read(tmp_path)
        assert "secret" not in str(caught.value)


def test_a_wrong_password_is_an_error_without_the_password(
    machine: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ledger_place.CREDENTIALS, f"{USER}:not-the-password")
    with pytest.raises(StackError) as caught:
        ledgers.heads(machine)
    assert "not-the-password" not in str(caught.value)


def test_doctor_asks_for_version_rights_and_key(machine: Project, server: PostgresServer, tmp_path: Path) -> None:
    def said(project: Project) -> tuple[str, str]:
        found = diagnostics._run_check(diagnostics._ledger, project)
        return found.verdict, found.found

    assert said(machine)[0] == "ok"
    _append(machine)
    assert said(machine) == ("ok", f"{server.url}, PostgreSQL {_version(server)}")
    assert said(_machine(tmp_path / "two", server)) == ("fail", f"{said(machine)[1]}: this machine has no ledger key")
    with closing(_connect(server)) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'only-reads'")
        connection.execute("GRANT USAGE ON SCHEMA modelyard TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA modelyard TO reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ledger_place.CREDENTIALS, "reader:only-reads")
        assert said(machine) == ("fail", f"{server.url}, PostgreSQL {_version(server)}: this user may not write there")
        assert len(ledgers.of(machine, "digits").entries()) == 1
        with pytest.raises(StackError, match="may not write"):
            _append(machine)
        patch.setenv(ledger_place.CREDENTIALS, "reader:wrong")
        assert said(machine)[0] == "fail"
    assert _append(machine).sequence == 2


def test_a_process_that_lost_its_release_to_another_machine_writes_no_more(
    machine: Project, server: PostgresServer, tmp_path: Path
) -> None:
    _append(machine)
    hold = ledger_place.store(machine).hold(ledgers.release_of("digits"))
    assert hold.take()
    assert _append(machine).sequence == 2
    with closing(_connect(server)) as connection:  # as the server does to a machine that is cut off
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
    other = _machine(tmp_path / "two", server, machine)
    taken = ledger_place.store(other).hold(ledgers.release_of("digits"))
    _eventually(taken.take)
    with pytest.raises(StackError, match="lost what it was doing"):
        _append(machine)
    assert _append(machine, "fashion").sequence == 1  # of another model
    assert _append(other).sequence == 3
    taken.leave()
    hold.leave()


def _eventually(holds: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() < begun + 5
        time.sleep(0.05)


def _version(server: PostgresServer) -> str:
    with closing(_connect(server)) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


def test_a_name_is_held_by_one_process_and_is_free_when_it_is_killed(machine: Project, server: PostgresServer) -> None:
    store = PostgresLedgerDatabase(server.url, Credentials(USER, PASSWORD))
    program = (
        "import sys; from components.access.secret import Credentials\n"
        "from components.release.ledger_postgres import PostgresLedgerDatabase\n"
        "hold = PostgresLedgerDatabase(sys.argv[1], Credentials(sys.argv[2], sys.argv[3])).hold('controller')\n"
        "print(hold.take(), flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", program, server.url, USER, PASSWORD]
    holder = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "True"
    hold, other = store.hold("controller"), store.hold("another name")
    assert (store.is_held("controller"), hold.take(), other.take()) == (True, False, True)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    _eventually(hold.take)
    assert hold.take()
    server.stop()
    with pytest.raises(StackError):
        hold.take()
    server.start()
    assert hold.take()
    assert store.is_held("another name") is False  # its session ended with the server
    hold.leave()
    other.leave()
    assert store.is_held("controller") is False
    store.close()
