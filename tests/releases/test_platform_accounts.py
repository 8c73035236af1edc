"""The accounts of the platforms of two machines that share one MLflow database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.access import project_door, server_database, service_account
from components.core.errors import StackError, UsageError
from flows.cli.people import people as command
from flows.platform import people_check
from tests import postgres_server
from tests.people_server import SETTINGS, PeopleServer, running

MISSING = postgres_server.missing()
pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), pytest.mark.slow]


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PeopleServer, PeopleServer]]:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with postgres_server.running() as database:
        monkeypatch.setenv(server_database.CREDENTIALS, database.credentials)
        settings = f'[servers]\nmlflow = "{database.url}"\ncredentials = {{env = "{server_database.CREDENTIALS}"}}\n'
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        with (
            running(tmp_path / "a", settings + SETTINGS) as first,
            running(tmp_path / "b", settings + SETTINGS, is_filled=True) as second,
        ):
            yield first, second


def account(server: PeopleServer) -> str:
    return service_account.name_of(str(project_door.secret_of(server.project)))


def test_the_account_of_another_machine_is_not_removed_by_the_way(
    machines: tuple[PeopleServer, PeopleServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines

    def run(server: PeopleServer, *words: str) -> Result:
        monkeypatch.setenv("MODELYARD_PROJECT", str(server.project.root))
        return CliRunner().invoke(command, words)

    for own, other in ((here, there), (there, here)):
        verdict, text, what_to_do = people_check.of(own.project)
        assert (verdict, what_to_do) == ("ok", "")
        assert f"{account(other)}: an account of another machine or clone" in text
        assert "only if that clone is gone" in text
        assert account(own) not in text
        rows = {line.split()[0]: line for line in run(own).output.splitlines() if "platform" in line}
        assert "the platform itself" in rows[account(own)]
        assert "of another machine or clone" in rows[account(other)]
    refused: Any = run(here, "remove", account(there)).exception
    assert isinstance(refused, UsageError)
    assert "nothing is trained" in str(refused.expected)
    assert f"`modelyard people remove {account(there)} --yes`" in str(refused.next_step)
    assert people_check.gone_account(there.project) is None
    assert run(here, "remove", account(there), "--yes").output == f"{account(there)} is removed\n"
    assert people_check.gone_account(there.project) == account(there), "at once, whatever MLflow remembers there"
    verdict, text, what_to_do = people_check.of(there.project)
    assert (verdict, what_to_do) == ("fail", "modelyard up makes it again")
    assert f"{account(there)} is the account of this machine's platform, and was removed" in text
    assert isinstance(run(there).exception, StackError)
    assert people_check.of(here.project) == ("ok", "on: 4 users; mara, ramon may promote", "")
