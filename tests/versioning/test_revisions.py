"""The versions of a dataset that git knows, from the commits of dvc.lock."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from components.core.project import Project
from components.versioning import revisions

LOCK = """\
schema: '2.0'
stages:
  validate@things: {{cmd: x, outs: [{{path: data/things/validated, md5: {validated}.dir}}]}}
  prepare@things: {{cmd: x, outs: [{{path: data/things/prepared, md5: {prepared}.dir}}]}}
"""


def git(root: Path, *words: str) -> None:
    settings = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(
        ["git", *settings, *words], cwd=root, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    )


def commit(root: Path, message: str, lock: str) -> None:
    (root / "dvc.lock").write_text(lock)
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


def test_commits_that_changed_a_dataset_newest_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert revisions.of(project, "things").revisions == []
    assert revisions.of(project, "things").reason
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, "other data", "stages: {}\n")
    commit(tmp_path, "the first", LOCK.format(validated="a1", prepared="b1"))
    git(tmp_path, "tag", "v1")
    commit(tmp_path, "a comment", LOCK.format(validated="a1", prepared="b1") + "# no change\n")
    commit(tmp_path, "<script> of somebody", LOCK.format(validated="a1", prepared="b2"))
    commit(tmp_path, "a lock that cannot be read", "stages: [")
    found = revisions.of(project, "things")
    assert [(one.subject, one.prepared) for one in found.revisions] == [
        ("<script> of somebody", "b2.dir"), ("the first", "b1.dir"),
    ]  # fmt: skip
    assert found.revisions[1].refs == ("v1",)
    assert found.complete
    assert revisions.of(project, "nothing").revisions == []
