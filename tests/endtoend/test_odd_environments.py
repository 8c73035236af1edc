"""The stack and a whole run in a poor environment: no name, no home, proxies and certificates that lead nowhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import COMMAND
from tests.project_copy import copy_project

pytestmark = pytest.mark.slow

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


def closed_folder() -> str:
    """The uppermost folder on the way to this interpreter that others may not enter; empty where there is none."""
    place = Path(sys.base_prefix)
    return next((str(folder) for folder in [*reversed(place.parents), place] if not folder.stat().st_mode & 0o001), "")


class Stranger:
    """A copy of the project that belongs to a user id without a name, and commands as that user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
        self.environment = {
            **{"PATH": os.defpath, "PYTHONPATH": str(root), "GIT_CONFIG_NOSYSTEM": "1"},
            **{**proxies, "ALL_PROXY": "socks5h://127.0.0.1:9", "SSL_CERT_FILE": "/nowhere.pem"},
            **{name: os.environ[name] for name in ("MODELYARD_TEST_SESSION",) if name in os.environ},
        }

    def run(self, *words: str, module: bool = True) -> subprocess.CompletedProcess[str]:
        """A `modelyard` command (or any), as the stranger, with nothing of our environment."""
        return subprocess.run(
            [*ENTER, closed_folder(), *BECOME, *(COMMAND if module else []), *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, *words: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Only root can become another user."""
    if os.getuid() != 0 or not (shutil.which("setpriv") and shutil.which("unshare")):
        pytest.skip("only root, with unshare and setpriv, can run commands as a user id without a name")
    place = Path(tempfile.mkdtemp(prefix="modelyard-stranger-"))  # pytest's own folders are closed to others
    root = place / ODD_NAME
    try:
        place.chmod(0o755)
        copy_project(root)
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        found = Stranger(root)
        if found.run("true", module=False).returncode == 99:
            pytest.skip("no mount namespace can be made here")
        try:
            yield found
        finally:
            found.run("down")
    finally:
        shutil.rmtree(place)


def test_mlflow_imports_without_name_and_home(stranger: Stranger) -> None:
    words = (
        "import os; from flows.platform import environment; environment.quiet(os.environ); import mlflow, mlflow.server"
    )
    done = stranger.run(sys.executable, "-c", words, module=False)
    assert done.returncode == 0, done.stderr
    home = stranger.root / ".modelyard" / "home"
    assert (home.stat().st_mode & 0o777, home.stat().st_uid) == (0o700, NOBODY)


def test_the_light_commands(stranger: Stranger) -> None:
    findings = {row["check"]: row for row in json.loads(stranger.run("doctor", "--json").stdout)}
    assert findings["packages"]["verdict"] == "ok"
    assert findings["git"]["verdict"] == "ok"
    stranger.ok("datasets")
    stranger.ok("schema")


def test_a_run_is_released(stranger: Stranger) -> None:
    facts: dict[str, Any] = json.loads(stranger.ok("demo", "--json"))
    assert facts["the service says"].split()[0] == facts["the truth is"]
    assert all(row["state"] == "ready" for row in json.loads(stranger.ok("status", "--json"))["services"])
    stranger.ok("models")
    assert f"uid {NOBODY}" in stranger.ok("history", "digits")
