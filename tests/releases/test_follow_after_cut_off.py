"""`modelyard up --follow-registry` after an `up` that was cut off: MLflow on one database, the settings on another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from components.access import server_database
from components.core.project import Project
from components.registry import versions
from components.release import followed, history
from components.release import ledger as ledgers
from flows.cli.up import up
from flows.platform import current_programs, followed_registry, lifecycle, ports, state
from flows.platform.programs import Program, of_stack
from flows.platform.state import StackState
from tests import postgres_server
from tests.platform.conftest import project  # noqa: F401
from tests.platform.test_small_stack import interrupt, small_servers
from tests.releases.test_other_registry import NAME, pin, serve

MISSING = postgres_server.missing()
pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), pytest.mark.slow]


def servers(project: Project, stack_state: StackState) -> tuple[Program, ...]:  # noqa: F811
    """MLflow as it is, the others of a few lines."""
    real = next(one for one in of_stack(project, stack_state) if one.name == "mlflow")
    return tuple(real if one.name == "mlflow" else one for one in small_servers(project, stack_state))


def fill(url: str) -> None:
    """A registry with the versions 1 and 2 that served before."""
    from mlflow.entities.model_registry import ModelVersionTag
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(url)
    store.create_registered_model(NAME)
    for one in (pin("1", "a"), pin("2", "a")):
        store.create_model_version(NAME, "nowhere", tags=[ModelVersionTag(versions.PACKAGE_DIGEST, one.package_digest)])
    store.engine.dispose()


def test_only_the_mlflow_of_the_settings_is_compared(
    project: Project,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (lifecycle, current_programs):
        monkeypatch.setattr(module, "of_stack", servers)
    monkeypatch.setenv("MODELYARD_PROJECT", str(project.root))
    first = ports.choose(27300, ())
    mlflow = ports.choose(first + 1, ())
    chosen_ports = {"prefect": first, "mlflow": mlflow, "console": ports.choose(mlflow + 1, ())}
    state.save(project, StackState(str(project.root), ports=chosen_ports))

    def run(*words: str) -> Result:
        return CliRunner().invoke(up, words)

    with postgres_server.running() as database:
        monkeypatch.setenv(server_database.CREDENTIALS, database.credentials)
        login = {"user": postgres_server.USER, "password": postgres_server.PASSWORD}
        with closing(psycopg.connect(database.url, autocommit=True, **login)) as connection:  # type: ignore[arg-type]
            connection.execute("CREATE DATABASE copy")
        copy = f"{database.url.rpartition('/')[0]}/copy"
        fill(copy.replace("postgresql://", f"postgresql+psycopg://{database.credentials}@"))
        settings = project.root / "modelyard.toml"
        text = f'[servers]\nmlflow = "{database.url}"\ncredentials = {{env = "{server_database.CREDENTIALS}"}}\n'
        settings.write_text(text)
        assert run().exit_code == 0
        followed_registry.follow(project)
        ledger = ledgers.of(project, NAME)
        serve(ledger, pin("1", "a"), pin("2", "a"))
        settings.write_text(text.replace(database.url, copy))
        with monkeypatch.context() as cut:
            cut.setattr(lifecycle.supervisor, "restart", interrupt)
            assert run().exit_code != 0
        done = run(followed_registry.OPTION)
        assert done.exit_code == 0, done.output
        assert f"production follows {copy} from now on" in done.output
        assert "cannot go to" not in done.output
        entry = followed.last(ledger.entries())
        assert entry is not None
        assert entry.facts[followed.SAME] == sorted(one.package_digest for one in (pin("1", "a"), pin("2", "a")))
        assert history.rollback_target(ledger.entries(), NAME) == pin("1", "a")
        ledger.note_followed(copy, database.url, [], "ann")  # as an earlier version of Modelyard wrote it
        assert "recorded anew; of what served, the registry has 1, 2" in run(followed_registry.OPTION).output
        assert "is as recorded" in run(followed_registry.OPTION).output
        lifecycle.down(project)
