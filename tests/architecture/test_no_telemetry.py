"""Nothing that we use tells anyone that it is used: the whole chain in a network where every packet is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import quiet_network
from tests.house import COMMAND
from tests.project_copy import copy_project

pytestmark = pytest.mark.slow

PYTHON = [sys.executable, "-c"]
LIBRARIES = (
    "torch, transformers, peft, tokenizers, huggingface_hub, safetensors, sacrebleu, matplotlib, sklearn, onnx, keras, "
    "great_expectations, dvc.repo, mlflow, mlflow.server, prefect, bentoml, pyarrow, pandas, tensorboard"
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


def _run(tmp_path: Path, commands: dict[str, list[str]]) -> tuple[dict[str, dict[str, Any]], Path]:
    """Each command's exit code, output and packets; and the home that they had."""
    if why := quiet_network.available():
        pytest.skip(why)
    root, home, script, result = (tmp_path / name for name in ("project", "home", "commands.json", "result.json"))
    copy_project(root)
    home.mkdir()
    script.write_text(json.dumps(list(commands.values())))
    done = subprocess.run(
        [*quiet_network.UNSHARE, sys.executable, "-m", "tests.quiet_network", str(script), str(result)],
        cwd=root,
        # Nothing of ours: a variable that says CI or pytest turns telemetry off, which would prove nothing.
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(root), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, json.loads(result.read_text()), strict=True)), home


def test_what_is_sent_is_counted(tmp_path: Path) -> None:
    ask = "import socket\ntry:\n socket.getaddrinfo('example.org', 443)\nexcept OSError: pass"
    connect = "import socket\ntry:\n socket.create_connection(('198.51.100.1', 443), 1)\nexcept OSError: pass"
    rows, _ = _run(tmp_path, {"nothing": [*PYTHON, ""], "a name": [*PYTHON, ask], "an address": [*PYTHON, connect]})
    assert rows["nothing"]["packets"] == 0
    assert rows["a name"]["packets"] > 0
    assert rows["an address"]["packets"] > 0


def test_the_whole_chain_sends_nothing(tmp_path: Path) -> None:
    quiet = "import os; from flows.platform import environment; environment.quiet(os.environ)"
    quiet += "; os.environ['KERAS_BACKEND'] = 'torch'"
    commands = {
        "all libraries": [
            *PYTHON,
            f"{quiet}; from components.inference.runtime import onnxruntime; import {LIBRARIES}",
        ],
        "demo": [*COMMAND, "demo", "--json"],
        "status": [*COMMAND, "status"],
        "prefect": [*PYTHON, TOOL, "prefect", "deployment", "ls"],
        "mlflow": [*PYTHON, TOOL, "mlflow", "experiments", "search"],
        "dvc": [*PYTHON, TOOL, "dvc", "status"],
        "dvc by hand": [str(Path(sys.executable).parent / "dvc"), "status"],
        "bentoml": [*PYTHON, TOOL, "bentoml", "list"],
        "what was put off": ["sleep", "10"],
        "down": [*COMMAND, "down"],
    }
    rows, home = _run(tmp_path, commands)
    assert {name: row["said"] for name, row in rows.items() if row["code"]} == {}
    assert {name: row["packets"] for name, row in rows.items() if row["packets"]} == {}
    assert not (home / ".cache" / "Microsoft").exists()
