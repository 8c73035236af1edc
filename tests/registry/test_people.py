"""Users and permissions of the project's own MLflow, asked by MLflow's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.registry import alias_notes
from tests.people_server import MODEL, PASSWORDS, PeopleServer, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeopleServer]:
    with running(tmp_path_factory.mktemp("people")) as found:
        yield found


def _client(
    server: PeopleServer, monkeypatch: pytest.MonkeyPatch, user: str, password: str | None = None
) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or PASSWORDS[user])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return MlflowClient(server.url, server.url)


def _register(client: MlflowClient) -> str:
    """Train and register, as a client of MLflow does."""
    experiment = client.get_experiment_by_name(MODEL)
    run = client.create_run(experiment.experiment_id)
    client.log_metric(run.info.run_id, "accuracy", 0.9)
    return str(client.create_model_version(MODEL, f"{run.info.artifact_uri}/model", run.info.run_id).version)


def test_a_reader_may_look_and_not_write(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(server, monkeypatch, "rita")
    assert client.get_registered_model(MODEL).name == MODEL
    with pytest.raises(MlflowException, match="403"):
        _register(client)
    with pytest.raises(MlflowException, match="403"):
        client.set_registered_model_alias(MODEL, "champion", "1")
    assert alias_notes.read(server.project, MODEL, "champion") is None


def test_an_editor_registers_and_the_note_of_an_alias_names_the_login(
    server: PeopleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _client(server, monkeypatch, "edith")
    assert _register(client) == "4"
    client.set_registered_model_alias(MODEL, "champion", "4")
    note = alias_notes.read(server.project, MODEL, "champion")
    assert note is not None
    assert (note.user, note.by, note.version, note.known_by) == ("edith", "edith", "4", "name and password of MLflow")
    with pytest.raises(MlflowException, match="403"):
        client.delete_registered_model_alias(MODEL, "champion")
    assert alias_notes.read(server.project, MODEL, "champion") == note
