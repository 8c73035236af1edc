"""Users and permissions of the project's own MLflow, asked by MLflow's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.access import project_door, secret, service_account
from components.access.secret import Credentials
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import GateRefused, NotFoundError, RegistryError, UsageError
from components.core.project import Project
from components.registry import alias_notes, people, versions
from components.registry.api import Api
from components.release.decision import Decision, DesiredState, Situation
from components.release.production import Production
from flows.cli.people import people as command
from flows.console.logins import Logins
from flows.pipelines.stages import RunContext
from flows.platform import connections, people_check, process_mark
from flows.platform import people as logins
from flows.releases import authority, refusal
from flows.releases import rollout as rollouts
from flows.releases.controller import Controller, Memory
from flows.releases.observation import Observer
from flows.releases.registry_poll import RegistryPoll
from flows.releases.rollout import Refused, Rollout
from flows.serving_targets.serving_target import target_of
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


def test_a_note_that_was_written_by_hand_names_nobody(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _client(server, monkeypatch, "edith").set_registered_model_alias(MODEL, "champion", "2")
    note = alias_notes.read(server.project, MODEL, "champion")
    assert note is not None
    forged = note.model_copy(update={"user": "mara", "by": "mara"})
    alias_notes.write(server.project, forged)
    found = alias_notes.read(server.project, MODEL, "champion")
    assert found is not None
    assert (found.user, found.known_by) == (None, "a note without the right signature")
    alias_notes.write(server.project, note)
    assert alias_notes.read(server.project, MODEL, "champion") == note
    alias_notes.write(server.project, note.model_copy(update={"version": "3"}))
    changed = alias_notes.read(server.project, MODEL, "champion")
    assert changed is not None
    assert changed.user is None


@pytest.mark.parametrize("path", ["/api/2.0", "/ajax-api/2.0"])
def test_a_change_of_an_alias_that_cannot_be_noted_is_refused(server: PeopleServer, path: str) -> None:
    login = ("edith", PASSWORDS["edith"])
    before = alias_notes.read(server.project, MODEL, "champion")
    body = {"name": MODEL, "alias": "champion", "version": "1", "padding": "x" * 200_000}
    answer = httpx.post(f"{server.url}{path}/mlflow/registered-models/alias", json=body, auth=login)
    assert answer.status_code == 400
    assert alias_notes.read(server.project, MODEL, "champion") == before


def test_nobody_else_acts_for_a_user(server: PeopleServer) -> None:
    url = f"{server.url}/api/2.0/mlflow/registered-models/alias"
    body = {"name": MODEL, "alias": "champion", "version": "1"}
    header = {alias_notes.ON_BEHALF_HEADER: "mara"}
    assert httpx.post(url, json=body, auth=("edith", PASSWORDS["edith"]), headers=header).status_code == 200
    note = alias_notes.read(server.project, MODEL, "champion")
    assert note is not None
    assert note.user == "edith"
    with server.api() as api:  # the platform's own account may, as for a user of the console
        own = api.credentials
    assert own is not None
    assert httpx.post(url, json=body, headers={**own.headers, **header}).status_code == 200
    note = alias_notes.read(server.project, MODEL, "champion")
    assert note is not None
    assert note.user == "mara"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/health"), ("GET", "/version"), ("GET", "/signup"), ("GET", "/server-info"),
        ("GET", "/static-files/x.js"), ("POST", "/graphql"), ("GET", "/get-artifact?path=a&run_uuid=b"),
        ("GET", "/api/2.0/mlflow/registered-models/search"), ("GET", "/ajax-api/2.0/mlflow/experiments/search"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x"),
        ("POST", "/api/2.0/mlflow/users/create"), ("POST", "/api/2.0/mlflow/users/create-ui"),
        ("POST", "/v1/traces"), ("GET", "/ajax-api/3.0/mlflow/assistant/config"), ("GET", "/ajax-api/3.0/jobs/x"),
        ("GET", "/metrics"), ("POST", "/gateway/x/mlflow/invocations"),
    ],
)  # fmt: skip
def test_every_path_asks_for_a_login(server: PeopleServer, method: str, path: str) -> None:
    answer = httpx.request(method, server.url + path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_wrong_passwords_and_those_that_mlflow_once_came_with_open_nothing(server: PeopleServer) -> None:
    for login in (("mara", "not mara's password"), ("admin", "password1234"), ("admin", "password"), ("mara", "")):
        assert httpx.get(f"{server.url}/", auth=login).status_code == 401, login


def test_the_project_secret_is_no_password(server: PeopleServer) -> None:
    secret = str(project_door.secret_of(server.project))
    for user in ("mara", "root", "modelyard"):
        assert httpx.get(f"{server.url}/", auth=(user, secret)).status_code == 401
    assert httpx.get(f"{server.url}/", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_pages_of_other_origins_use_no_login_of_the_browser(server: PeopleServer) -> None:
    url = f"{server.url}/api/2.0/mlflow/registered-models/alias"
    body = {"name": MODEL, "alias": "champion", "version": "1"}
    login = ("mara", PASSWORDS["mara"])
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "mlflow.test"}):
        assert httpx.post(url, json=body, auth=login, headers=headers).status_code == 403


def test_permissions_are_those_of_mlflow(server: PeopleServer) -> None:
    with server.api() as api:
        found = {user: people.level(api, user, MODEL) for user in (*PASSWORDS, "nobody")}
        own = {one.name for one in people.every(api) if one.is_admin}
        assert api.credentials is not None
        assert own == {api.credentials.user}
    assert found == {"rita": "READ", "edith": "EDIT", "mara": "MANAGE", "ramon": "MANAGE", "nobody": None}
    assert [right for right in people.LEVEL if people.includes("EDIT", right)] == ["look", "train"]
    assert not any(people.includes(level, "look") for level in (None, "DENY", "NO_PERMISSIONS", "OTHER"))


def test_who_creates_a_model_may_train_and_not_promote_it(server: PeopleServer) -> None:
    with server.api("edith") as api:
        versions.ensure_model(api, "fashion", "")
    with server.api() as own:
        assert people.level(own, "edith", "fashion") == "EDIT"


def test_a_model_that_serves_is_renamed_and_removed_by_who_may_promote(
    server: PeopleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.api() as own:
        versions.ensure_model(own, "flowers", "")
        people.grant(own, "edith", "flowers", "train")
        people.grant(own, "mara", "flowers", "promote")
    client = _client(server, monkeypatch, "edith")
    for forbidden in (
        lambda: client.rename_registered_model("flowers", "roses"),
        lambda: client.delete_registered_model("flowers"),
    ):
        with pytest.raises(MlflowException, match=r"MANAGE|403"):
            forbidden()
    client = _client(server, monkeypatch, "mara")
    client.rename_registered_model("flowers", "roses")
    assert client.get_registered_model("roses").name == "roses"


def test_users_are_changed_by_administrators_alone(server: PeopleServer) -> None:
    with server.api("mara") as api:
        with pytest.raises(RegistryError):
            people.add(api, "friend", "a friend's password")
        with pytest.raises(RegistryError):
            people.set_admin(api, "mara", True)
        with pytest.raises(RegistryError):
            people.grant(api, "mara", "*", "promote")


def test_a_removed_user_and_an_old_password_open_nothing(server: PeopleServer) -> None:
    with server.api() as own:
        people.add(own, "tomas", "the first password")
        with pytest.raises(UsageError, match="there is a user tomas"):
            people.add(own, "tomas", "another password")
        with pytest.raises(RegistryError, match="12 characters"):
            people.set_password(own, "tomas", "short")
        login = ("tomas", "the first password")
        assert httpx.get(f"{server.url}/", auth=login).status_code == 200
        people.set_password(own, "tomas", "the second: password")
        assert httpx.get(f"{server.url}/", auth=login).status_code == 401
        login = ("tomas", "the second: password")
        assert httpx.get(f"{server.url}/", auth=login).status_code == 200
        people.remove(own, "tomas")
    assert httpx.get(f"{server.url}/", auth=login).status_code == 401


def _rollout(server: PeopleServer, api: Api) -> Rollout:
    """The release that the controller begins for the alias `champion`."""
    spec = located_yaml.read(server.project.pipeline_file(MODEL), PipelineSpec)
    context = RunContext(server.project, spec, api, lambda _: None)
    service = target_of(server.project, MODEL)
    found = rollouts.begin(context, service, "champion", "http://page", withdraws=False, broken=None)
    assert found is not None
    return found


def _refused(server: PeopleServer) -> str:
    """Why the release that is due is refused, and that the registry and the ledger say so."""
    with server.api() as api:
        rollout = _rollout(server, api)
        with pytest.raises(Refused) as refused:
            authority.require_to_release(rollout)
        refusal.refuse(rollout, refused.value)
        reason = str(refused.value)
        assert rollout.target is not None
        version = versions.by_number(api, MODEL, rollout.target.version)
        assert versions.by_alias(api, MODEL, "champion") is None
        assert version.tags[refusal.STATE] == "refused"
        assert version.tags[refusal.REASON] == reason
        assert reason.partition(": ")[2] in version.description
        end = rollout.end()
        assert end is not None
        assert (end.event, end.facts["reason"], end.facts["gates"]) == ("refused", reason, ["permission"])
        return f"{end.asked_by} {reason}"


def test_an_editor_s_promotion_is_set_back_with_the_reason(
    server: PeopleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _client(server, monkeypatch, "edith").set_registered_model_alias(MODEL, "champion", "2")
    assert _refused(server) == "edith permission: edith has EDIT on digits; who is to promote needs MANAGE"


def test_a_forged_note_is_of_no_use(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _client(server, monkeypatch, "mara").set_registered_model_alias(MODEL, "champion", "1")
    old = alias_notes.read(server.project, MODEL, "champion")
    assert old is not None
    with server.api() as api:
        rollout = _rollout(server, api)
        authority.require_to_release(rollout)  # she may
        rollout.record("superseded", reason="of the test")
    _client(server, monkeypatch, "edith").set_registered_model_alias(MODEL, "champion", "1")
    new = alias_notes.read(server.project, MODEL, "champion")
    assert new is not None
    alias_notes.write(server.project, old)  # a release was for it already
    assert "registry permission: it is not known who asks to promote" in _refused(server)
    _client(server, monkeypatch, "edith").set_registered_model_alias(MODEL, "champion", "1")
    alias_notes.write(server.project, new.model_copy(update={"user": "mara", "by": "mara"}))
    assert "mara permission: it is not known who asks to promote" in _refused(server)


def test_a_right_is_that_of_the_moment(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _client(server, monkeypatch, "ramon").set_registered_model_alias(MODEL, "champion", "1")
    with server.api() as api:
        rollout = _rollout(server, api)
        authority.require_to_release(rollout)
        assert rollout.asked_by == "ramon"
        people.grant(api, "ramon", MODEL, "train")
    assert _refused(server) == "ramon permission: ramon has EDIT on digits; who is to promote needs MANAGE"
    with server.api() as api:
        people.grant(api, "ramon", MODEL, "promote")
        versions.set_alias(api, MODEL, "challenger", "1")
    _client(server, monkeypatch, "ramon").set_registered_model_alias(MODEL, "champion", "1")
    with server.api() as api:
        people.remove(api, "ramon")
    assert _refused(server) == "ramon permission: MLflow has no user ramon; who is to promote needs MANAGE"


def test_who_may_not_promote_may_not_go_back_either(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(server.project, registry=RegistryPoll(server.api(), server.project))
    memory = Memory(Observer(server.project, MODEL))
    desired = DesiredState("1", None)
    before = len(memory.observer.ledger.entries())
    situation = Situation(Production(), desired=desired, going_back=True)
    decision = Decision("roll back", "champion", "champion is to be 1")
    _client(server, monkeypatch, "edith").set_registered_model_alias(MODEL, "champion", "1")
    controller._step(MODEL, memory, decision, situation)
    assert memory.needs_release == desired  # the release refuses, and says so in the registry
    assert len(memory.observer.ledger.entries()) == before
    _client(server, monkeypatch, "mara").set_registered_model_alias(MODEL, "champion", "1")
    memory.needs_release = None
    with pytest.raises(UsageError):  # no version has served: that is all that is wrong
        controller._step(MODEL, memory, decision, situation)
    assert memory.needs_release is None


def test_an_approval_counts_with_the_proof_of_a_login_and_the_right(server: PeopleServer) -> None:
    with server.api() as api:
        rollout: Any = SimpleNamespace(context=SimpleNamespace(project=server.project), api=api, name=MODEL)

        def judged(user: str, proof: str, *, approves: bool = True) -> authority.AccessReview:
            return authority.review_approval(rollout, "run", user, approves, proof)

        proofs = {user: authority.approval_proof(server.project, "run", user, True) for user in ("mara", "edith")}
        assert judged("mara", proofs["mara"]).allowed
        assert judged("edith", proofs["edith"]).reason == "edith has EDIT on digits; who is to approve needs MANAGE"
        for other in ("", proofs["edith"], authority.approval_proof(server.project, "another", "mara", True)):
            verdict = judged("mara", other)
            assert not verdict.allowed
            assert "Prefect, which has no users" in verdict.reason
        assert not judged("mara", proofs["mara"], approves=False).allowed


def test_commands_act_for_the_login_in_the_environment(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    project = server.project
    monkeypatch.delenv(process_mark.PROGRAM, raising=False)
    monkeypatch.setenv("HOME", str(project.root))
    with pytest.raises(UsageError, match="who you are is not known"):
        authority.user_of_command(project)
    assert connections.of(project).mlflow.credentials == logins.account(project)
    _client(server, monkeypatch, "edith")
    assert authority.trainer(project, MODEL) == "edith"
    with pytest.raises(GateRefused, match="edith may not promote"):
        authority.requester_of_command(project, MODEL, "modelyard rollback digits")
    _client(server, monkeypatch, "rita")
    with pytest.raises(GateRefused, match="rita may not train"):
        authority.trainer(project, MODEL)
    _client(server, monkeypatch, "mara")
    requester = authority.requester_of_command(project, MODEL, "modelyard rollback digits")
    assert requester is not None
    assert (requester.by, requester.facts["user"]) == ("mara", "mara")
    monkeypatch.setenv(process_mark.PROGRAM, "controller")
    assert connections.of(project).mlflow.credentials == logins.account(project)
    monkeypatch.delenv(process_mark.PROGRAM)
    _client(server, monkeypatch, "mara", "not her password")
    with pytest.raises(UsageError, match="MLflow does not know this name and password"):
        authority.user_of_command(project)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    (project.root / ".mlflow").mkdir()
    login = f"[mlflow]\nmlflow_tracking_username = edith\nmlflow_tracking_password = {PASSWORDS['edith']}\n"
    (project.root / ".mlflow" / "credentials").write_text(login)
    assert authority.user_of_command(project) == "edith"
    (project.root / ".mlflow" / "credentials").unlink()


def test_an_mlflow_that_notes_nobody(server: PeopleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    secret.create(project_door.secret_file(project))
    account = service_account.credentials(str(project_door.secret_of(server.project)))
    monkeypatch.setenv("MODELYARD_MLFLOW_CREDENTIALS", f"{account.user}:{account.secret}")
    file = tmp_path / "modelyard.toml"
    named = f'[connections]\nmlflow = "{server.url}"\n[people]\nenabled = true\n'
    file.write_text(named)
    _client(server, monkeypatch, "mara")
    assert connections.of(project).mlflow.credentials == Credentials("mara", PASSWORDS["mara"])
    with server.api() as api:
        assert not authority.review(project, api, MODEL, None, "promote").allowed
        assert authority.review(project, api, MODEL, "mara", "promote").allowed
        authority.leave_note(project, MODEL, "champion", "2", "modelyard promote digits 2")
        note = alias_notes.read(project, MODEL, "champion")
        assert note is not None
        assert note.user == "mara"
        file.write_text(named + 'unknown = "accept"\n')
        assert authority.review(project, api, MODEL, None, "promote").allowed
    verdict, found, _ = people_check.of(project)
    assert (verdict, "mara" in found, "does not note who" in found) == ("warn", True, True)


def test_the_command_adds_lists_and_removes(server: PeopleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_PROJECT", str(server.project.root))

    def run(*words: str, answer: str = "") -> Result:
        return CliRunner().invoke(command, words, input=answer)

    added = run("add", "lena", "--may", "train", "--model", MODEL, answer="lena's password\n")
    assert added.output == "lena may train, on digits\n"
    assert httpx.get(f"{server.url}/", auth=("lena", "lena's password")).status_code == 200
    assert run("grant", "lena", "--may", "approve", "--model", MODEL).exit_code == 0
    listed = {one["name"]: one["permissions"] for one in json.loads(run("--json").output)}
    assert listed["lena"] == {MODEL: "MANAGE"}
    assert run("password", "lena", answer="another password\n").exit_code == 0
    assert httpx.get(f"{server.url}/", auth=("lena", "lena's password")).status_code == 401
    assert isinstance(run("add", "otto", answer="\n").exception, UsageError)
    assert isinstance(run("add", "modelyard-01234567", answer="any password at all\n").exception, UsageError)
    assert run("remove", "lena").exit_code == 0
    assert isinstance(run("remove", "lena").exception, NotFoundError)
    assert "password" not in {option.name for one in command.commands.values() for option in one.params}


def test_doctor_says_who_may_promote(server: PeopleServer) -> None:
    assert people_check.of(server.project) == ("ok", "on: 3 users; mara may promote", "")


def test_the_console_asks_mlflow_for_the_login(server: PeopleServer, tmp_path: Path) -> None:
    logins_of_console = Logins(server.project)
    assert logins_of_console.are_right("mara", PASSWORDS["mara"])
    assert not logins_of_console.are_right("mara", PASSWORDS["edith"])
    assert not logins_of_console.are_right("nobody", "")


def test_no_password_is_in_a_file_or_the_log(server: PeopleServer) -> None:
    with server.api() as api:
        own = api.credentials
    assert own is not None
    for path in (path for path in server.project.root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert own.secret.encode() not in content, path
        assert not any(password.encode() in content for password in PASSWORDS.values()), path
