"""A project of its own with a small dataset, to be changed and broken at will."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from components.core.project import Project

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (  # all whose code DVC compares
    *("core", "identity", "contracts", "ingestion", "preparation", "preprocessing", "tasks", "validation"),
    "versioning",
)
DATASET = "things"

_DATASET = """\
name: things
task: image-classification
title: A few things
source: {kind: folder, path: photos}
split: {test: 0.3, validation: 0.2, seed: 0}
input: {height: 4, width: 4, channels: 1}
"""
_EXPECTATIONS = """\
{"raw": [{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "readable", "value_set": [true]}}],
 "prepared": [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "mean", "max_value": 100}}]}
"""


def make(root: Path) -> Project:
    """Write a project below `root`: our source, dvc.yaml, and 20 pictures of two labels."""
    for room in ROOMS:
        source, ignored = ROOT / "components" / room, shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, root / "components" / room, ignore=ignored)
    for name in ("components/__init__.py", "dvc.yaml", ".dvcignore", "requirements.lock"):
        shutil.copy(ROOT / name, root / name)
    (root / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", root / ".dvc/config")
    (root / "params.yaml").write_text(f"datasets: [{DATASET}]\n")
    (root / "pipelines").mkdir()
    (root / ".gitignore").write_text(".modelyard/\n/data/.code/\n/data/*/raw/\n/data/*/validated/\n/data/*/prepared/\n")
    folder = root / "data" / DATASET
    for number in range(20):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        Image.new("L", (4, 4), number).save(out, "PNG")
        path.write_bytes(out.getvalue())
    (folder / "dataset.yaml").write_text(_DATASET)
    (folder / "expectations.json").write_text(_EXPECTATIONS)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return Project(root)


def dvc(project: Project, *words: str) -> str:
    """What a plain `dvc` command says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=project.root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def replace(path: Path, old: str, new: str) -> None:
    """Change a file's text."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
