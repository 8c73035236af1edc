"""`modelyard.toml`: what is wrong in it is said with its key, its line and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.contracts import settings
from components.contracts.settings import Settings
from components.core.errors import SpecError


def read(tmp_path: Path, text: str) -> Settings:
    (tmp_path / settings.FILE_NAME).write_text(text)
    return settings.read(tmp_path)


def test_without_a_file_all_is_as_by_default(tmp_path: Path) -> None:
    assert settings.read(tmp_path) == Settings()


@pytest.mark.parametrize("before", [lambda path: path.write_text(""), lambda path: path.unlink()])
def test_a_file_that_is_being_saved_is_not_taken_as_empty(
    before: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / settings.FILE_NAME
    text = '[connections]\nledger = "postgresql://db.example/ledger"\nledger_credentials = {env = "LOGIN"}\n'
    path.write_text(text)
    before(path)
    monkeypatch.setattr(settings, "_MISSING_SECONDS", 60.0)  # a busy machine may be slow
    monkeypatch.setattr(settings, "_EMPTY_SECONDS", 60.0)
    monkeypatch.setattr("time.sleep", lambda _: path.write_text(text))  # the editor goes on meanwhile
    assert settings.read(tmp_path).connections.ledger == "postgresql://db.example/ledger"


def test_a_file_that_stays_empty_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_EMPTY_SECONDS", 0.05)
    path = tmp_path / settings.FILE_NAME
    path.write_text("\n")
    with pytest.raises(SpecError, match="the file is empty"):
        settings.read(tmp_path)
    path.write_text("# nothing yet\n")
    assert settings.read(tmp_path) == Settings()


def test_servers_are_named(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        '[connections]\nprefect = "https://prefect.example.org/api/"\nmlflow = "http://10.0.0.1:8080"\n'
        'mlflow_credentials = {env = "TEAM"}\n',
    ).connections
    assert found.prefect == "https://prefect.example.org/api"
    assert found.mlflow == "http://10.0.0.1:8080"
    assert found.mlflow_credentials is not None
    assert found.mlflow_credentials.env == "TEAM"


WRONG = [
    ("[run.train]\nrunner = 'slurm'\ncpu = 1\n", 3, "run.train.cpu", "allowed: runner, partition, cpus, memory_mb"),
    ("[run]\ntrain = {runner = 'slurm', cpus = 0}\n", 2, "run.train.cpus", "greater than or equal to 1"),
    ("[run.train]\nrunner = 'lsf'\n", 1, "run.train", "'local', 'slurm', 'pool'"),
    ("[run.register]\nrunner = 'slurm'\n", 1, "run.register", "unknown key; allowed: train, evaluate"),
    (
        "[run.train]\nrunner = 'slurm'\noptions = ['--output=x']\n",
        3,
        "run.train.options.0",
        "--output is set by Modelyard",
    ),
    ("[connections]\nprefekt = 'x'", 2, "connections.prefekt", "unknown key; allowed: prefect, prefect_credentials"),
    ("[hosts.a]\nssh = 'a'\n", 1, "hosts.a.folder", "Field required"),
    ("[hosts.a]\nfolder = 'relative'\n", 2, "hosts.a.folder", "should match pattern"),
    ("[hosts.a]\nfolder = '/x'\nport = 22\n", 3, "hosts.a.port", "unknown key; allowed: ssh, folder, listen, address"),
    ("[hosts.a]\nfolder = '/x'\nssh = '-oProxyCommand=id'\n", 3, "hosts.a.ssh", "should match pattern"),
    ("[hosts.a]\nfolder = '/x'\nlisten = '0.0.0.0 --reload'\n", 3, "hosts.a.listen", "expected an IPv4 address"),
    ("[hosts.a]\nfolder = '/x'\n[hosts.b]\nfolder = '/./x/'\n", None, "", "hosts a and b are one folder"),
    ("[servers]\nartifacts = 's3://key:word@x/y'\n", 2, "servers.artifacts", "should match pattern"),
    ("[servers]\nartifacts = 'folder'\n", 2, "servers.artifacts", "should match pattern"),
    (
        "[servers]\nprefect = 'postgresql://x/y'\nredis = 'redis://me:word@x'\n",
        3,
        "servers.redis",
        "without credentials",
    ),
    (
        "[servers]\nprefect = 'postgresql://x/y?sslmode=require&channel_binding=require'\n",
        1,
        "servers",
        "does not know channel_binding in the URL",
    ),
    (
        "[servers]\nprefect = 'postgresql://x/y'\nredis = 'rediss://x?ssl_cert_reqs=none'\n",
        3,
        "servers.redis",
        "only ssl_ca_certs",
    ),
    (
        "[servers]\nprefect = 'postgresql://x/y'\nredis = 'redis://x?ssl_ca_certs=/ca.pem'\n",
        3,
        "servers.redis",
        "only rediss://",
    ),
    ("[servers]\nredis = 'redis://x:6379/0'\n", 1, "servers", "redis needs prefect"),
    ("[servers]\nredis_credentials = {env = 'X'}\n", 1, "servers", "redis_credentials needs redis"),
    ("[serving]\nabsent_hosts = -1\n", 2, "serving.absent_hosts", "greater than or equal to 0"),
    ("[conections]\n", 1, "conections", "unknown key; allowed: connections"),
    ("\n[connections]\n\nmlflow = 5000\n", 4, "connections.mlflow", "valid string (got 5000)"),
    ("[connections]\nmlflow = 'ftp://x'\n", 2, "connections.mlflow", "expected http://HOST"),
    ("[connections]\nmlflow = 'http://me:secret@x'\n", 2, "connections.mlflow", "without credentials"),
    ("[connections]\nmlflow_credentials = 'me:x'\n", 2, "connections.mlflow_credentials", ""),
    ("[connections]\nmlflow_credentials = {}\n", 2, "connections.mlflow_credentials", 'expected {env = "NAME"}'),
    (
        "[connections]\nprefect_credentials = {prefect_secret = 'own'}\n",
        2,
        "connections.prefect_credentials",
        "cannot lie in a block of that server",
    ),
    (
        "[connections]\nledger_credentials = {prefect_secret = 'A B'}\n",
        2,
        "connections.ledger_credentials.prefect_secret",
        "[a-z0-9-]",
    ),
    (
        "[connections.mlflow_credentials]\npassword = 'x'\n",
        None,
        "connections.mlflow_credentials.password",
        "unknown key; allowed: env, file",
    ),
    ("[connections\n", 1, "(file)", "not TOML"),
    ("[people]\nunknown = 'accept'\n", 1, "people", "unknown needs enabled = true"),
    ("[people]\nenabled = true\nheader = 'X-User'\n", 1, "people", "header and proxy_secret go together"),
    (
        "[people]\nenabled = true\nheader = 'Authorization'\nproxy_secret = {env = 'X'}\n",
        1,
        "people",
        "Authorization has another meaning",
    ),
    ("[people]\nenabled = true\nhosts = ['https://x']\n", 3, "people.hosts.0", "pattern"),
]


@pytest.mark.parametrize(("text", "line", "key", "message"), WRONG)
def test_what_is_wrong_is_located(tmp_path: Path, text: str, line: int | None, key: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    said = [str(problem) for problem in caught.value.problems]
    assert any(key in one and message in one for one in said), said
    if line is not None:
        assert said[0].startswith(f"line {line}:")
    assert caught.value.where == str(tmp_path / settings.FILE_NAME)


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="2 problems"):
        read(tmp_path, "[connections]\nmlflow = 1\nother = 2\n")
