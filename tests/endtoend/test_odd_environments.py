"""The stack and a whole run in a poor environment, which is told nothing: no name, no home, a folder of odd signs,
proxies and certificates that lead nowhere, and a network in which every packet to the world is counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import quiet_network
from tests.house import COMMAND
from tests.project_copy import copy_project

pytestmark = [pytest.mark.slow, pytest.mark.long]

# Signs that begin a comment or a query, stand for others in a URL, or are no ASCII.
ODD_NAME = "a project #1 ;b %2F ?c=d &e 'é'"
NOBODY = 65533  # in no table of users
# The interpreter may be in a folder that is root's alone: a mount namespace opens it for the command and its children.
OPEN = """
mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work || exit 99
closed="$1"; shift
if test -n "$closed"; then
  mount -t overlay none -o "lowerdir=$closed,upperdir=/mnt/upper,workdir=/mnt/work" "$closed" || exit 99
  chmod 755 "$closed"
fi
exec "$@"
"""
ENTER = ["unshare", "--mount", "sh", "-c", OPEN, "sh"]
BECOME = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]

PYTHON = [sys.executable, "-c"]
QUIET = "import os; from flows.platform import environment; environment.quiet(os.environ)"
LIBRARIES = (
    "mlflow, mlflow.server, torch, transformers, peft, tokenizers, huggingface_hub, safetensors, sacrebleu, "
    "matplotlib, sklearn, onnx, keras, great_expectations, dvc.repo, prefect, bentoml, pyarrow, pandas, tensorboard"
)
TOOL = """
import json, os, subprocess, sys
from pathlib import Path
from components.core.project import Project
from flows.platform import connections, lifecycle
project = Project.find()
connections.enter(project)
endpoints = lifecycle.endpoints(project)
os.environ.update(PREFECT_API_URL=endpoints.prefect_api, MLFLOW_TRACKING_URI=endpoints.mlflow)
program, *words = sys.argv[1:]
sys.exit(subprocess.run([Path(sys.executable).parent / program, *words]).returncode)
"""
# DVC by itself needs a user with a name and a home: it runs as root, at the end. It does not set proxies aside: what it
# would send to one would not be counted.
AS_ROOT = (
    "unset http_proxy HTTPS_PROXY ALL_PROXY SSL_CERT_FILE; export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory "
    'GIT_CONFIG_VALUE_0=\'*\' HOME=$(mktemp -d); "$0" "$@"; code=$?; rm -rf "$HOME"; exit $code'
)
COMMANDS = {
    "all libraries": [
        *PYTHON,
        f"{QUIET}; os.environ['KERAS_BACKEND'] = 'torch'; "
        f"from components.inference.runtime import onnxruntime; import {LIBRARIES}",
    ],
    "doctor": [*COMMAND, "doctor", "--json"],
    "datasets": [*COMMAND, "datasets"],
    "schema": [*COMMAND, "schema"],
    "demo": [*COMMAND, "demo", "--json"],
    "status": [*COMMAND, "status", "--json"],
    "models": [*COMMAND, "models"],
    "history": [*COMMAND, "history", "digits"],
    "prefect by hand": [*PYTHON, TOOL, "prefect", "deployment", "ls"],
    "mlflow by hand": [*PYTHON, TOOL, "mlflow", "experiments", "search"],
    "bentoml by hand": [*PYTHON, TOOL, "bentoml", "list"],
    "what was put off": ["sleep", "10"],
    "down": [*COMMAND, "down"],
}
# What is compiled once as the owner of the environment is not compiled by each process of a user who may not keep it.
SERVERS = "prefect.server.api.server, mlflow.server.fastapi_app, _bentoml_impl.worker.service"
COMPILE = [*PYTHON, f"import os; os.environ['KERAS_BACKEND'] = 'torch'; import {SERVERS}, {LIBRARIES}"]
AS_ROOT_COMMANDS = {
    "dvc by hand": ["sh", "-c", AS_ROOT, str(Path(sys.executable).parent / "dvc"), "status"],
}


def closed_folder() -> str:
    """The uppermost folder on the way to this interpreter that others may not enter; empty where there is none."""
    place = Path(sys.base_prefix)
    return next((str(folder) for folder in [*reversed(place.parents), place] if not folder.stat().st_mode & 0o001), "")


@dataclass(frozen=True)
class Outcome:
    """What became of each command: `code`, `output` (stdout), `errors` (stderr), `packets`."""

    root: Path
    rows: dict[str, dict[str, Any]]
    are_counted: bool

    def output(self, name: str) -> str:
        """What a command printed, which succeeded."""
        row = self.rows[name]
        assert row["code"] == 0, f"{name}: {row['code']}\n{row['output']}\n{row['errors']}"
        return str(row["output"])


def run(folder: Path, root: Path, commands: dict[str, list[str]], environment: dict[str, str]) -> list[dict[str, Any]]:
    """Run commands one after the other, in a network of their own where one can be made."""
    script, result = folder / "commands.json", folder / "result.json"
    script.write_text(json.dumps({"environment": environment, "folder": str(root), "commands": [*commands.values()]}))
    enter = [] if quiet_network.available() else quiet_network.UNSHARE
    done = subprocess.run(
        [
            *enter,
            sys.executable,
            "-m",
            "tests.quiet_network",
            str(script),
            str(result),
            *(["counted"] if enter else []),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(result.read_text())
    return rows


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    """A copy of the project that belongs to a user id without a name, and commands as that user.

    Only root can become another user. A variable that says CI or pytest would turn telemetry off, which would prove
    nothing: the commands have nothing of this environment.
    """
    if os.getuid() != 0 or not (shutil.which("setpriv") and shutil.which("unshare")):
        pytest.skip("only root, with unshare and setpriv, can run commands as a user id without a name")
    place = Path(tempfile.mkdtemp(prefix="modelyard-stranger-"))  # pytest's own folders are closed to others
    root = place / ODD_NAME
    environment = {
        **{"PATH": os.defpath, "PYTHONPATH": str(root), "GIT_CONFIG_NOSYSTEM": "1"},
        **dict.fromkeys(("http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9"),
        **{"ALL_PROXY": "socks5h://127.0.0.1:9", "SSL_CERT_FILE": "/nowhere.pem"},
        **{name: os.environ[name] for name in ("MODELYARD_TEST_SESSION",) if name in os.environ},
    }
    become = [*ENTER, closed_folder(), *BECOME]
    try:
        place.chmod(0o755)
        copy_project(root)
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        if subprocess.run([*become, "true"], check=False).returncode == 99:
            pytest.skip("no mount namespace can be made here")
        subprocess.run(COMPILE, check=True, capture_output=True)
        commands = {name: [*become, *words] for name, words in COMMANDS.items()} | AS_ROOT_COMMANDS
        rows = run(place, root, commands, environment)
        yield Outcome(root, dict(zip(commands, rows, strict=True)), quiet_network.available() is None)
    finally:
        shutil.rmtree(place)


def test_every_command_succeeds(outcome: Outcome) -> None:
    failed = {name: (row["code"], row["output"], row["errors"]) for name, row in outcome.rows.items() if row["code"]}
    failed.pop("doctor", None)  # it says what is poor here
    assert failed == {}


def test_mlflow_imports_without_name_and_home(outcome: Outcome) -> None:
    home = outcome.root / ".modelyard" / "home"
    assert (home.stat().st_mode & 0o777, home.stat().st_uid) == (0o700, NOBODY)


def test_doctor_finds_packages_and_git(outcome: Outcome) -> None:
    findings = {row["check"]: row for row in json.loads(outcome.rows["doctor"]["output"])}
    assert findings["packages"]["verdict"] == "ok"
    assert findings["git"]["verdict"] == "ok"


def test_a_run_is_released(outcome: Outcome) -> None:
    facts: dict[str, Any] = json.loads(outcome.output("demo"))
    assert facts["the service says"].split()[0] == facts["the truth is"]
    assert all(row["state"] == "ready" for row in json.loads(outcome.output("status"))["services"])
    assert f"uid {NOBODY}" in outcome.output("history")


def test_nothing_is_sent_to_the_world(outcome: Outcome) -> None:
    if not outcome.are_counted:
        pytest.skip(str(quiet_network.available()))
    assert {name: row["packets"] for name, row in outcome.rows.items() if row["packets"]} == {}
    assert not (outcome.root / ".modelyard" / "home" / ".cache" / "Microsoft").exists()


def test_what_is_sent_is_counted(tmp_path: Path) -> None:
    if why := quiet_network.available():
        pytest.skip(why)
    ask = "import socket\ntry:\n socket.getaddrinfo('example.org', 443)\nexcept OSError: pass"
    connect = "import socket\ntry:\n socket.create_connection(('198.51.100.1', 443), 1)\nexcept OSError: pass"
    commands = {"nothing": [*PYTHON, ""], "a name": [*PYTHON, ask], "an address": [*PYTHON, connect]}
    nothing, name, address = run(tmp_path, tmp_path, commands, {"PATH": os.defpath})
    assert nothing["packets"] == 0
    assert name["packets"] > 0
    assert address["packets"] > 0
