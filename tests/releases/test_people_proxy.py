"""The project's own MLflow behind a proxy that has authenticated who asks."""

from __future__ import annotations

import httpx
import pytest

from components.access import trusted_proxy
from components.access.people_door import BY_PROXY
from components.registry import alias_notes, people
from tests.people_server import MODEL, PASSWORDS, SETTINGS, running

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  # of the test
PROXY = 'header = "X-Forwarded-User"\nproxy_secret = {env = "PROXY_OF_THE_TEST"}\nhosts = ["mlflow.example"]\n'


@pytest.mark.slow
def test_the_proxy_says_who_asks_and_nobody_else_does(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_OF_THE_TEST", SECRET)
    proven = {trusted_proxy.SECRET_HEADER: SECRET}
    with running(tmp_path_factory.mktemp("proxy"), SETTINGS + PROXY) as server:
        url = f"{server.url}/api/2.0/mlflow/registered-models"

        def status(method: str, path: str, headers: dict[str, str], **more: object) -> int:
            return httpx.request(method, url + path, headers=headers, **more).status_code  # type: ignore[arg-type]

        body = {"name": MODEL, "alias": "champion", "version": "1"}
        assert status("POST", "/alias", {**proven, "X-Forwarded-User": "mara"}, json=body) == 200
        note = alias_notes.read(server.project, MODEL, "champion")
        assert note is not None
        assert (note.user, note.known_by) == ("mara", BY_PROXY)
        assert status("POST", "/alias", {**proven, "X-Forwarded-User": "rita"}, json=body) == 403  # of MLflow
        assert status("GET", "/search", {"X-Forwarded-User": "mara"}) == 401
        assert status("GET", "/search", {trusted_proxy.SECRET_HEADER: "x" * 32, "X-Forwarded-User": "mara"}) == 401
        assert status("GET", "/search", proven) == 401
        assert status("GET", "/search", {"X-Modelyard-User": "mara"}) == 401
        assert status("GET", "/search", {**proven, "X-Forwarded-User": "nobody"}) == 403
        with server.api() as api:
            assert api.credentials is not None
            own = api.credentials.user
        assert status("GET", "/search", {**proven, "X-Forwarded-User": own}) == 401
        twice = httpx.Headers([*proven.items(), ("X-Forwarded-User", "rita"), ("X-Forwarded-User", "mara")])
        assert httpx.get(f"{url}/search", headers=twice).status_code == 401
        assert status("GET", "/search", {}, auth=("mara", PASSWORDS["mara"])) == 200
        assert status("GET", "/search", {}, auth=("mara", "not her password")) == 401
        with server.api() as api:
            assert people.level(api, "mara", MODEL) == "MANAGE"
        # Under the proxy's own name, from its own pages alone.
        named = {**proven, "X-Forwarded-User": "mara", "Host": "mlflow.example"}
        assert status("POST", "/alias", {**named, "Origin": "https://mlflow.example"}, json=body) == 200
        assert status("POST", "/alias", {**named, "Origin": "https://elsewhere.example"}, json=body) == 403
        assert status("POST", "/alias", {**named, "Host": "elsewhere.example"}, json=body) == 403
        artifacts = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/9/x"  # a path of MLflow that is not Flask's
        assert httpx.put(artifacts, headers={**proven, "X-Forwarded-User": "rita"}, content=b"x").status_code == 403
        assert httpx.put(artifacts, headers={"X-Forwarded-User": "mara"}, content=b"x").status_code == 401
