"""Credentials in a secret block of Prefect; tests/endtoend/test_existing_servers.py has a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.access import named_credentials, prefect_secret
from components.access.secret import Credentials
from components.contracts.settings import CredentialSource
from components.core.errors import StackError

SOURCE = CredentialSource(prefect_secret="ledger-login")  # noqa: S106  # the name of a block
PATH = "/api/block_types/slug/secret/block_documents/name/ledger-login?include_secrets=true"


class _Prefect(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == PATH and self.headers["Authorization"] == "Basic YW5uOnNlc2FtZQ=="
        body = (self.server.body if found else "{}").encode()  # type: ignore[attr-defined]
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(prefect_secret, "_known", {})
    monkeypatch.setattr(prefect_secret, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setenv("PREFECT_LOGIN", "ann:sesame")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Prefect) as found:
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        (tmp_path / "modelyard.toml").write_text(
            f'[connections]\nprefect = "http://127.0.0.1:{found.server_port}/api"\n'
            'prefect_credentials = {env = "PREFECT_LOGIN"}\n'
        )
        found.body = '{"data": {"value": "mara: a password"}}'  # type: ignore[attr-defined]
        yield found
        found.shutdown()


def read(root: Path) -> Credentials | None:
    return named_credentials.read(root, "ledger", SOURCE, "MODELYARD_LEDGER_CREDENTIALS")


def test_a_value_that_was_read_outlives_the_server(
    prefect: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(tmp_path) == Credentials("mara", " a password")
    prefect.body = '{"data": {"value": "another"}}'  # type: ignore[attr-defined]
    assert read(tmp_path) == Credentials("mara", " a password"), "it is not asked for again at once"
    monkeypatch.setattr(prefect_secret, "FRESH_SECONDS", 0.0)
    assert read(tmp_path) == Credentials("", "another", bearer=True)
    prefect.shutdown()
    prefect.server_close()
    assert read(tmp_path) == Credentials("", "another", bearer=True)
    prefect_secret._known.clear()
    with pytest.raises(StackError, match="which holds credentials, does not answer"):
        read(tmp_path)


@pytest.mark.parametrize(
    "body", ['{"data": {"value": {"user": "ann"}}}', '{"data": {"value": " "}}', "{}", "[]", "<html>"]
)
def test_a_block_without_a_text_is_refused(prefect: ThreadingHTTPServer, tmp_path: Path, body: str) -> None:
    prefect.body = body  # type: ignore[attr-defined]
    with pytest.raises(StackError, match="holds no text"):
        read(tmp_path)


def test_a_block_that_is_not_there_says_how_to_make_it(
    prefect: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_LOGIN", "ann:wrong")
    with pytest.raises(StackError, match="no such secret block") as caught:
        read(tmp_path)
    assert caught.value.where is not None
    assert "connections.ledger_credentials" in caught.value.where
    assert "Secret(value=" in str(caught.value.next_step)


def test_a_project_with_a_prefect_of_its_own_has_no_blocks_to_read(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="needs a Prefect server that runs already"):
        read(tmp_path)
