"""`modelyard inspect` and `modelyard diff`, on a project whose data is in git and in DVC's real cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.versioning import data_version
from flows.cli.diff import diff
from flows.cli.inspect import inspect
from tests.preparation.test_near_duplicates import dataset, jpeg
from tests.preparation.test_prepare import declare_valid
from tests.versioning.small_project import dvc

from components.preparation import stage as preparation  # isort: skip
from components.validation import raw_table  # isort: skip
from components.tasks.image_classification import TASK  # isort: skip

DVC = """\
stages:
  validate:
    foreach: [photos]
    do: {cmd: "true", outs: ["data/${item}/validated": {persist: true}]}
  prepare:
    foreach: [photos]
    do: {cmd: "true", outs: ["data/${item}/prepared": {persist: true}]}
"""


def git(root: Path, *words: str) -> None:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words]
    subprocess.run(
        command, cwd=root, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    )


def commit(root: Path, name: str, contents: list[tuple[str, bytes, str | None]]) -> None:
    """Prepare these samples, and commit and tag what DVC records of them."""
    folder = root / "data/photos"
    shutil.rmtree(folder, ignore_errors=True)
    dataset(Path("data/photos"), "{test: 0.3, validation: 0.3, near_duplicates: together}", contents)
    raw_table.build(TASK, folder / "raw/samples.parquet", folder / "validated/samples.parquet", "photos", len(contents))
    declare_valid(folder)
    preparation.main(["data/photos"])
    shutil.copytree(root / ".modelyard/staging/photos/prepared", folder / "prepared")
    dvc(Project(root), "commit", "--force", "--quiet")
    git(root, "add", "-f", "dvc.lock")
    git(root, "commit", "-q", "-m", name)
    git(root, "tag", name)


@pytest.mark.slow
def test_inspect_and_diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "project"
    (root / "pipelines").mkdir(parents=True)
    (root / "dvc.yaml").write_text(DVC)
    (root / ".gitignore").write_text("/data/\n/.modelyard/\n")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "empty")
    git(root, "tag", "empty")
    monkeypatch.chdir(root)
    contents: list[tuple[str, bytes, str | None]] = [("ab"[row % 2], jpeg(row), None) for row in range(60)]
    commit(root, "v1", contents)
    contents[0] = ("b", *contents[0][1:])
    contents.append(("a", jpeg(1, 70), None))
    commit(root, "v2", contents)

    found = json.loads(CliRunner().invoke(diff, ["photos", "v1..v2", "--json"], catch_exceptions=False).output)
    assert found["added"] == ["60.x"]
    assert found["relabelled"] == [{"id": "0.x", "before": "a", "after": "b"}]
    assert found["gone"] == found["replaced"] == found["renamed"] == []
    assert found["labels"] == {"a": [30, 30], "b": [30, 31]}
    text = CliRunner().invoke(diff, ["photos", "v1"], catch_exceptions=False).output
    assert "-> the last prepared" in text
    assert "relabelled 1:\n    0.x: a -> b" in text
    assert "no sample differs" in CliRunner().invoke(diff, ["photos"], catch_exceptions=False).output

    project = Project(root)
    with pytest.raises(NotFoundError, match="records no data"):
        data_version.at_revision(project, "photos", "empty")
    with pytest.raises(UsageError, match="no such revision"):
        data_version.at_revision(project, "photos", "v9")
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(NotFoundError, match="not in DVC's cache") as caught:
        data_version.at_revision(project, "photos", "v1")
    assert "dvc fetch" in str(caught.value.next_step)

    result = CliRunner().invoke(inspect, ["photos", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    seen = json.loads(result.stdout)
    assert seen["samples"] == 61
    assert [(pair["first"], pair["second"]) for pair in seen["near_duplicates"]] == [("1.x", "60.x")]
    assert [(pair["first_label"], pair["second_label"]) for pair in seen["conflicts"]] == [("b", "a")]
    page = (root / ".modelyard/reports/photos/inspection.html").read_text()
    assert "Near-duplicates: 1" in page
    assert page.count("data:image/png;base64,") >= 4
    text = CliRunner().invoke(inspect, ["photos"], catch_exceptions=False).output
    assert "1 pairs of near-duplicates" in text
    shutil.rmtree(root / "data/photos/prepared")
    with pytest.raises(NotFoundError, match="not prepared"):
        CliRunner().invoke(inspect, ["photos"], catch_exceptions=False)
