"""`modelyard client-snippet`: what it prints is run, in each language, and gets the answers of the service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from components.access import api_keys
from components.access.api_keys import KeyFile
from flows.cli import shell
from flows.cli.interruption import Interruption
from serving.api_keys import KeyedApplication
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package
from tests.serving import packages
from tests.serving.service import listening, over_http

RUN = {"curl": ["sh"], "python": [sys.executable], "javascript": ["node"]}
SUFFIX = {"curl": ".sh", "python": ".py", "javascript": ".mjs"}


def snippet(language: str, url: str, capsys: pytest.CaptureFixture[str]) -> str:
    with Interruption() as interruption:
        assert shell.main(["client-snippet", "sample", "--lang", language, "--url", url], interruption) == 0
    return capsys.readouterr().out


def run(language: str, code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(RUN[language][0]) is None:
        pytest.skip(f"{RUN[language][0]} is not installed")
    path = folder / f"ask{SUFFIX[language]}"
    path.write_text(code)
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [*RUN[language], str(path)],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", RUN)
def test_snippets_ask_the_service(language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = small_package.image(0)
    (tmp_path / "image.png").write_bytes(file)
    small_package.bundle(tmp_path / "image", "7")
    app, key_file = ModelApp(), tmp_path / "keys.jsonl"
    app.serve(Worker(tmp_path / "image", None, threads=1))
    keys = KeyFile(key_file)
    with listening(KeyedApplication(app.asgi, "sample", keys)) as url:
        code = snippet(language, url, capsys)
        (expected,) = httpx.post(f"{url}/predict", content=file, headers={"content-type": "image/png"}).json()[
            "predictions"
        ]
        done = run(language, code, tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["predictions"] if language == "curl" else found) == [expected]

        key = api_keys.add(key_file, "app", "predict")
        keys._next_check = 0
        refused = run(language, code, tmp_path)
        assert refused.returncode != 0
        assert "an API key is needed" in refused.stdout + refused.stderr  # what the service said, in every language
        assert run(language, code, tmp_path, MODELYARD_API_KEY=key).returncode == 0

    packages.table(tmp_path / "table")
    with over_http(tmp_path / "table") as url:
        done = run(language, snippet(language, url, capsys), tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        expected = httpx.post(f"{url}/predict", json={"row": packages.ROWS[0]}).json()["predictions"]
        assert (found["predictions"] if language == "curl" else found) == expected


@pytest.mark.slow
def test_odd_texts_are_quoted(tmp_path: Path) -> None:
    from flows.cli.client_snippet import LANGUAGES, SnippetRequest

    text = 'it\'s "a" `b` $(c) \\ \n ü </script> ${d}'
    server = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = b'{"predictions": [%s]}' % body
        self.send_response(200); self.send_header("content-length", str(len(answer))); self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True) as echo:
        try:
            assert echo.stdout is not None
            url = f"http://127.0.0.1:{int(echo.stdout.readline())}/predict"
            for language, write in LANGUAGES.items():
                done = run(language, write(SnippetRequest(url, {"text": text})), tmp_path)
                found = json.loads(done.stdout)
                assert (found["predictions"] if language == "curl" else found) == [{"text": text}], language
        finally:
            echo.kill()
