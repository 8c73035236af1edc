"""The project's own MLflow behind a real proxy of OpenID Connect: Apache's, configured as docs/team.md says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from components.access.people_door import BY_PROXY
from components.registry import alias_notes
from tests import oidc_proxy, people_server
from tests.free_ports import free_port
from tests.people_server import MODEL, SETTINGS

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  # of the test
SEARCH, ALIAS = "/api/2.0/mlflow/registered-models/search", "/api/2.0/mlflow/registered-models/alias"
CHAMPION = {"name": MODEL, "alias": "champion", "version": "1"}

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(oidc_proxy.missing()), reason=str(oidc_proxy.missing()))]


def test_who_logged_in_there_promotes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("PROXY_OF_THE_TEST", SECRET)
    proxy_settings = (
        f'header = "X-Forwarded-User"\nproxy_secret = {{env = "PROXY_OF_THE_TEST"}}\nhosts = ["localhost:{port}"]\n'
    )
    (tmp_path / "project").mkdir()
    with people_server.running(tmp_path / "project", SETTINGS + proxy_settings) as server:
        behind = urlsplit(server.url).port
        assert behind is not None
        with oidc_proxy.running(tmp_path / "proxy", port, behind, SECRET) as proxy:
            _try(server, proxy)


def _try(server: people_server.PeopleServer, proxy: oidc_proxy.OidcProxy) -> None:
    own_pages = {"Origin": f"https://{proxy.name}"}
    with proxy.session() as mara:
        found = oidc_proxy.log_in(mara, "mara", SEARCH)
        assert [model["name"] for model in found.json()["registered_models"]] == [MODEL]
        assert "MLflow" in mara.get("/").text
        done = mara.post(ALIAS, json=CHAMPION, headers=own_pages)
        assert done.status_code == 200, done.text
        note = alias_notes.read(server.project, MODEL, "champion")
        assert note is not None
        assert (note.user, note.known_by) == ("mara", BY_PROXY)
        assert mara.post(ALIAS, json=CHAMPION, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    forged = {"X-Forwarded-User": "mara", "X-Modelyard-Proxy": SECRET}
    with proxy.session() as rita:
        assert oidc_proxy.log_in(rita, "rita", SEARCH).status_code == 200
        assert rita.post(ALIAS, json=CHAMPION, headers={**own_pages, **forged}).status_code == 403
    with proxy.session() as stranger:
        assert "Authorize Client" in stranger.get(SEARCH, headers=forged).text
        refused = oidc_proxy.log_in(stranger, "nobody", SEARCH)
        assert refused.status_code == 403
        assert "modelyard people add" in refused.text
