"""DVC's cache: what no commit and no present dataset names goes, through DVC itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from components import versioning
from components.core.project import Project
from components.versioning import unused_cache
from tests.versioning import small_project

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]

GC = """
from pathlib import Path
from components.core.project import Project
from components.versioning import unused_cache
project = Project(Path())
assert unused_cache.unused(project, "commits").files
unused_cache.collect(project, "commits")
"""


def commit(project: Project, message: str) -> None:
    for words in (["add", "-A"], ["commit", "-qm", message]):
        subprocess.run([*GIT, *words], cwd=project.root, check=True)


def ingest(project: Project, seed: int) -> None:
    path = project.dataset(small_project.DATASET) / "photos" / "a" / "0.png"
    path.write_bytes((project.dataset(small_project.DATASET) / "photos" / "b" / f"{2 * seed + 1}.png").read_bytes())
    versioning.reproduce(project, small_project.DATASET, "ingest", force=True)


def cached(project: Project) -> set[str]:
    files = project.root / ".dvc" / "cache" / "files"
    return {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_a_commit_or_the_workspace_names_stays(tmp_path: Path) -> None:
    project = small_project.make(tmp_path)
    ingest(project, 0)
    commit(project, "first")
    committed = cached(project)
    changed = unused_cache._commits_that_changed_data(project)
    for number in range(2):
        (project.root / "notes.md").write_text(f"{number}\n")
        commit(project, "words")
    assert unused_cache._commits_that_changed_data(project) == changed, "DVC need not read the others"
    ingest(project, 1)
    never_committed = cached(project) - committed
    ingest(project, 2)
    present = cached(project) - committed - never_committed
    assert committed
    assert never_committed
    assert present
    before = cached(project)
    found = unused_cache.unused(project, "commits")
    assert cached(project) == before
    assert found.files == len(never_committed)
    assert found.bytes == sum((project.root / ".dvc/cache/files" / name).stat().st_size for name in never_committed)
    assert time.time() - found.youngest < 600
    unused_cache.collect(project, "commits")
    assert cached(project) == committed | present
    assert unused_cache.unused(project, "commits").files == 0
    unused_cache.collect(project, "workspace")
    assert not (cached(project) & committed) - present
    small_project.dvc(project, "checkout", "ingest@things")


@pytest.mark.slow
def test_a_locked_dataset_that_was_never_made_here_is_no_obstacle(tmp_path: Path) -> None:
    """As in a fresh clone: `dvc.lock` names data whose cache is elsewhere."""
    project = small_project.make(tmp_path)
    ingest(project, 0)
    lock = project.root / "dvc.lock"
    document = yaml.safe_load(lock.read_text())
    there = next(name for name in document["stages"] if name.startswith("ingest@"))
    [output] = document["stages"][there]["outs"]
    elsewhere = {**output, "path": "data/elsewhere/raw", "md5": f"{'0' * 32}.dir"}
    document["stages"]["elsewhere"] = {"cmd": "exec true", "outs": [elsewhere]}
    lock.write_text(yaml.safe_dump(document))
    pipeline = project.root / "dvc.yaml"
    stages = yaml.safe_load(pipeline.read_text())
    stages["stages"]["elsewhere"] = {"cmd": "exec true", "outs": ["data/elsewhere/raw"]}
    pipeline.write_text(yaml.safe_dump(stages))
    commit(project, "first")
    needed = cached(project)
    ingest(project, 1)
    ingest(project, 0)
    assert unused_cache.unused(project, "commits").files == len(cached(project) - needed) > 0
    done = subprocess.run([sys.executable, "-c", GC], cwd=project.root, capture_output=True, text=True, check=True)
    assert done.stdout == ""  # a command may print JSON
    assert cached(project) == needed
    assert unused_cache.unused(project, "commits").files == 0
