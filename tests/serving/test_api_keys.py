"""API keys before a service: who may ask what, and that neither keys nor inputs are in its log."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from components.access import api_keys as keys
from components.access import secret as secrets
from components.access.api_keys import API_KEYS, KeyFile
from components.access.secret import SECRET_FILE
from serving import api_keys, door, listening
from serving.api_keys import KeyedApplication
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package

IMAGE = {"content": small_package.image(0), "headers": {"content-type": "image/png"}}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ModelApp:
    folder = tmp_path_factory.mktemp("bundle")
    small_package.bundle(folder, "7")
    app = ModelApp()
    app.serve(Worker(folder, None, threads=1))
    return app


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys, "CHECK_SECONDS", 0.0)
    return tmp_path / "keys.jsonl"


def status(client: TestClient, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> int:
    content = IMAGE["content"] if method == "POST" else None
    sent = {"content-type": "image/png", **(headers or {})}
    return int(client.request(method, path, content=content, headers=sent).status_code)


def test_keys_and_scopes(app: ModelApp, file: Path) -> None:
    predict, admin = keys.add(file, "app", "predict"), keys.add(file, "ops", "admin")
    gone = keys.add(file, "gone", "admin")
    keys.revoke(file, "gone")
    client = TestClient(KeyedApplication(app.asgi, "sample", KeyFile(file), exposed=lambda: None))
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/health"):
        assert status(client, path) == 200
    for sent in ({"authorization": f"Bearer {predict}"}, {"authorization": f"bearer {predict}"}, {"x-api-key": predict},
                 {"authorization": "Basic " + base64.b64encode(f"me:{predict}".encode()).decode()}):  # fmt: skip
        assert status(client, "/predict", sent, "POST") == 200
        assert status(client, "/v1/models", sent) == 200
        assert status(client, "/status", sent) == 403
        assert status(client, "/metrics/", sent) == 403
    assert status(client, "/predict", {"x-api-key": admin}, "POST") == 200
    assert status(client, "/status", {"x-api-key": admin}) == 200
    wrong = [{}, {"x-api-key": gone}, {"x-api-key": predict[:-1]}, {"x-api-key": ""}, {"authorization": "Bearer"},
             {"authorization": predict}, {"x-api-key": "no", "authorization": f"Bearer {predict}"}]  # fmt: skip
    for sent in wrong:
        for path, method in (("/predict", "POST"), ("/", "GET"), ("/openapi.json", "GET"), ("/nothing", "GET"),
                             ("/v2/models/sample/infer", "POST")):  # fmt: skip
            assert status(client, path, sent, method) == 401


def test_a_refusal_has_the_form_of_its_protocol_and_says_how(app: ModelApp, file: Path) -> None:
    keys.add(file, "app", "predict")
    client = TestClient(KeyedApplication(app.asgi, "sample", KeyFile(file), exposed=lambda: None))
    response = client.post("/predict")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == 'Bearer realm="modelyard"'
    assert response.json()["code"] == "no_key"
    assert "API key" in client.post("/v2/models/sample/infer").json()["error"]
    assert client.post("/v1/completions").json()["error"]["type"] == "invalid_request_error"
    assert client.post("/invocations").json()["error_code"]
    page = client.get("/", headers={"accept": "text/html"})
    assert page.headers["www-authenticate"].startswith("Basic ")


def test_pages_of_other_sites_do_not_use_the_password_of_a_browser(app: ModelApp, file: Path) -> None:
    key = keys.add(file, "app", "predict")
    client = TestClient(KeyedApplication(app.asgi, "sample", KeyFile(file), exposed=lambda: None))
    basic = {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}
    assert status(client, "/predict", {**basic, "origin": "http://testserver"}, "POST") == 200
    assert status(client, "/predict", {**basic, "origin": "http://evil"}, "POST") == 403
    assert status(client, "/predict", {**basic, "sec-fetch-site": "cross-site"}, "POST") == 403
    assert status(client, "/", {**basic, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}) == 200
    assert status(client, "/predict", {"x-api-key": key, "origin": "http://a.example"}, "POST") == 200


def test_beyond_loopback_nothing_is_answered_without_keys(app: ModelApp, file: Path) -> None:
    def client(key_file: KeyFile | None, address: str | None) -> TestClient:
        return TestClient(KeyedApplication(app.asgi, "sample", key_file, exposed=lambda: address))

    assert status(client(None, None), "/predict", method="POST") == 200
    closed = client(None, "0.0.0.0:3000")
    response = closed.post("/predict", **IMAGE)
    assert (response.status_code, response.json()["code"]) == (401, "keys_needed")
    assert "0.0.0.0:3000" in response.json()["detail"]
    assert "modelyard keys add" in response.json()["detail"]
    assert status(closed, "/predict", {"x-api-key": "a"}, "POST") == 401
    assert status(closed, "/ping") == 200
    empty = client(KeyFile(file), "0.0.0.0:3000")
    assert status(empty, "/predict", method="POST") == 401
    key = keys.add(file, "app", "predict")
    assert status(empty, "/predict", {"x-api-key": key}, "POST") == 200
    file.write_text("broken\n")
    assert status(empty, "/predict", {"x-api-key": key}, "POST") == 200  # the keys stay as they were


def test_the_environment_says_what_is_needed(app: ModelApp, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "exposed", lambda: "0.0.0.0:1")
    monkeypatch.setenv(API_KEYS, "none")
    assert api_keys.before(app.asgi, "sample") is app.asgi
    monkeypatch.setenv(API_KEYS, str(file))
    key = keys.add(file, "app", "predict")
    client = TestClient(api_keys.before(app.asgi, "sample"))
    assert [status(client, "/predict", sent, "POST") for sent in ({}, {"x-api-key": key})] == [401, 200]


def test_in_a_projects_service_the_owner_needs_no_key(
    app: ModelApp, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secrets.create(tmp_path / "secret")
    monkeypatch.setenv(SECRET_FILE, str(tmp_path / "secret"))
    monkeypatch.setenv(API_KEYS, str(file))
    client = TestClient(door.before(app.asgi, "sample"), base_url="http://127.0.0.1")
    owner = {"authorization": f"Bearer {secret}"}
    assert [status(client, "/predict", sent, "POST") for sent in ({}, owner)] == [200, 200]
    key = keys.add(file, "app", "admin")
    sent = {"x-api-key": key}
    assert [status(client, "/predict", headers, "POST") for headers in ({}, owner, sent)] == [401, 200, 200]
    assert [status(client, "/status", headers) for headers in ({}, owner, sent)] == [401, 200, 401]  # the door's
    versions = "/v2/models/sample/versions/7"
    assert [status(client, versions, headers) for headers in (sent, owner)] == [401, 200]


def test_a_process_knows_whether_it_listens_beyond_loopback() -> None:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        assert listening.exposed() is None
        with socket.socket() as other:
            other.bind(("0.0.0.0", 0))  # noqa: S104
            other.listen()
            assert listening.exposed() == f"0.0.0.0:{other.getsockname()[1]}"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_keys_and_inputs_are_in_no_log(
    app: ModelApp, file: Path, logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.serving.service import listening as served

    key, secret_text = keys.add(file, "app", "predict"), "PRIVATE-INPUT"
    keyed = KeyedApplication(app.asgi, "sample", KeyFile(file), exposed=lambda: None)
    with served(keyed) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for sent in (key, key[:-1], "wrong" + key):
            for path in ("/predict", "/v2/models/sample/infer", "/invocations", "/v1/completions"):
                for body in (secret_text, f'{{"image": "{secret_text}"}}', f'{{"inputs": ["{secret_text}"]}}'):
                    headers = {"authorization": f"Bearer {sent}", "content-type": "application/json"}
                    assert client.post(path, content=body, headers=headers).status_code in (400, 401, 404, 422)
    out, err = capfd.readouterr()
    records = [record for record in logged.records if record.name != "httpcore" and not record.name.startswith("http")]
    text = "\n".join([out, err, *(f"{record.getMessage()} {record.exc_info}" for record in records)])
    for private in (key, key[4:20], secret_text):
        assert private not in text
