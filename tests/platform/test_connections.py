"""The servers that a project uses, and the credentials that are sent to them."""

from __future__ import annotations

import base64
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.access import challenge, http_client, project_door
from components.access.secret import Credentials
from components.core.errors import SpecError, StackError
from components.core.project import Project
from flows.platform import connections, diagnostics, lifecycle, programs, stack_status, state
from flows.platform.state import StackState

PREFECT, MLFLOW = "https://prefect.example.org/api", "http://mlflow.example.org:8080"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dvc.yaml").touch()
    new_project = Project(tmp_path)
    state.claim(new_project)
    state.save(new_project, StackState(str(tmp_path), wanted=True, ports={"prefect": 1, "mlflow": 2}))
    return new_project


def name(project: Project, text: str) -> None:
    (project.root / "modelyard.toml").write_text(f"[connections]\n{text}\n")


def test_by_default_both_servers_are_the_projects_own(project: Project) -> None:
    connected = connections.of(project)
    assert (connected.prefect.url, connected.mlflow.url) == ("http://127.0.0.1:1/api", "http://127.0.0.1:2")
    assert connected.prefect.page == "http://127.0.0.1:1"
    assert connected.mlflow.credentials == connected.prefect.credentials == connections.credentials(project)
    assert connections.own_servers(project) == ("prefect", "mlflow")
    assert connections.shared_name(project) == "modelyard"


def test_a_named_server_takes_the_place_of_an_own_one(project: Project) -> None:
    name(project, f"mlflow = '{MLFLOW}'")
    connected = connections.of(project)
    assert (connected.mlflow.url, connected.mlflow.named_by) == (MLFLOW, "modelyard.toml")
    assert connected.prefect.is_own
    started = {program.name for program in programs.of_stack(project, state.load_or_new(project))}
    assert started == {"guardian", "prefect", "runner", "controller", "console"}
    [controller] = [row for row in programs.of_stack(project, state.load_or_new(project)) if row.name == "controller"]
    assert controller.after is None


def test_the_environment_overrides_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name(project, "mlflow = 'http://other.example.org'")
    monkeypatch.setenv("MODELYARD_MLFLOW_TRACKING_URI", MLFLOW)
    monkeypatch.setenv("MODELYARD_MLFLOW_CREDENTIALS", "team:word")
    connected = connections.of(project).mlflow
    assert (connected.url, connected.named_by) == (MLFLOW, "MODELYARD_MLFLOW_TRACKING_URI")
    assert connected.credentials == Credentials("team", "word")
    monkeypatch.setenv("MODELYARD_MLFLOW_TRACKING_URI", "mlflow.example.org")
    with pytest.raises(SpecError, match="MODELYARD_MLFLOW_TRACKING_URI"):
        connections.of(project)


def test_prefect_is_named_by_its_api(project: Project) -> None:
    name(project, "prefect = 'https://prefect.example.org'")
    with pytest.raises(SpecError) as caught:
        connections.of(project)
    assert "ends in /api" in str(caught.value)


def test_the_projects_secret_goes_to_no_foreign_server(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name(project, f"prefect = '{PREFECT}'\nmlflow = '{MLFLOW}'\nprefect_credentials = {{env = 'PREFECT_TOKEN'}}")
    with pytest.raises(StackError, match="credentials of prefect is not set"):
        connections.of(project)
    monkeypatch.setenv("PREFECT_TOKEN", "pnu_1")
    connected = connections.of(project)
    assert connected.prefect.credentials == Credentials("", "pnu_1", bearer=True)
    assert connected.mlflow.credentials is None
    secret = project_door.secret_of(project) or ""
    assert secret not in str(connections.variables(project.root))
    assert connections.variables(project.root) == {"PREFECT_API_KEY": "pnu_1"}
    with connections.client(connected.prefect.credentials, PREFECT) as client:
        assert client.build_request("GET", "/health").headers["authorization"] == "Bearer pnu_1"
    assert connections.shared_name(project) == f"modelyard-{project_door.project_id(secret)}"


def test_credentials_are_read_from_a_file(project: Project) -> None:
    name(project, f"mlflow = '{MLFLOW}'\nmlflow_credentials = {{file = 'team'}}")
    with pytest.raises(StackError, match="cannot be read"):
        connections.of(project)
    (project.root / "team").write_text("me:a:b\n")
    assert connections.of(project).mlflow.credentials == Credentials("me", "a:b")
    sent = connections.variables(project.root)
    assert (sent["MLFLOW_TRACKING_USERNAME"], sent["MLFLOW_TRACKING_PASSWORD"]) == ("me", "a:b")


def test_a_file_of_passwords_at_home_does_not_replace_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine mlflow.example.org login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent: list[str] = []

    import httpx

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"])
        return httpx.Response(200)

    with http_client.client(Credentials("me", "x"), MLFLOW, transport=httpx.MockTransport(answer)) as client:
        client.get("/health")
    assert sent == ["Basic " + base64.b64encode(b"me:x").decode()]


def test_an_external_server_that_does_not_answer_is_an_error(project: Project) -> None:
    name(project, "mlflow = 'http://127.0.0.1:9'")
    with pytest.raises(StackError, match=r"the mlflow server that modelyard\.toml names does not answer"):
        lifecycle.up(project, log=lambda _: None)
    [row] = [row for row in stack_status.status(project) if row.name == "mlflow"]
    assert (row.state, row.is_own) == ("failed", False)
    [finding] = [row for row in diagnostics.diagnose(project) if row.check == "connections"]
    assert finding.verdict == "fail"
    assert "prefect is the project's own; mlflow is http://127.0.0.1:9 (modelyard.toml)" in finding.found


def test_a_wrong_file_fails_a_check_and_not_the_doctor(project: Project) -> None:
    name(project, "mlflow = 5000")
    findings = {row.check: row for row in diagnostics.diagnose(project)}
    [told] = [row for row in findings.values() if "connections.mlflow" in row.what_to_do]
    assert {told.verdict, findings["connections"].verdict} == {"fail"}
    assert findings["connections"].found == f"not looked at: see {told.check}"


@pytest.mark.parametrize(
    ("place", "verdict"),
    [(None, "ok"), ("store", "warn"), ("there", "ok"), ("file:///tmp", "ok"), ("abfs://x/y", "fail")],
)
def test_the_artifact_store_is_looked_at(project: Project, place: str | None, verdict: str) -> None:
    (project.root / "there").mkdir()
    if place is not None:
        name(project, f"artifacts = '{place}'")
    [finding] = [row for row in diagnostics.diagnose(project) if row.check == "artifacts"]
    assert finding.verdict == verdict
    assert place is None or place in finding.found + finding.what_to_do


def test_a_server_that_is_slow_runs(project: Project) -> None:
    secret = project_door.secret_of(project) or ""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.1 if self.server.server_port == mlflow.server_port else 2.5)
            nonce = self.path.partition("nonce=")[2]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(challenge.answer(secret, nonce, self.server.server_port).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as prefect, ThreadingHTTPServer(("127.0.0.1", 0), Slow) as mlflow:
        for server in (prefect, mlflow):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        used = {"prefect": prefect.server_port, "mlflow": mlflow.server_port}
        state.save(project, StackState(str(project.root), wanted=True, ports=used))
        found = lifecycle.endpoints(project)
        prefect.shutdown()
        mlflow.shutdown()
    assert found is not None
    assert found.prefect_api == f"http://127.0.0.1:{prefect.server_port}/api"
    assert lifecycle.endpoints(project) is None, "nobody listens any more"


def test_mlflows_artifacts_go_where_the_settings_say(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def destination() -> str:
        [mlflow] = [row for row in programs.of_stack(project, state.load_or_new(project)) if row.name == "mlflow"]
        return mlflow.environment["_MLFLOW_SERVER_ARTIFACT_DESTINATION"]

    assert destination() == "./.modelyard/mlflow/artifacts"
    settings = project.root / "modelyard.toml"
    settings.write_text('[servers]\nartifacts = "/mnt/team"\n')
    assert destination() == "/mnt/team"
    settings.write_text('[servers]\nartifacts = "s3://team/mlflow"\n')
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StackError, match="no library for this kind of URL"):
        destination()
