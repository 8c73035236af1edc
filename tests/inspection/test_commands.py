"""`modelyard inspect` and `modelyard diff`, on a project whose data is in git and in DVC's real cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.identity import manifest
from components.inference.predictor import Predictor
from components.ingestion import png
from components.versioning import data_version
from flows.cli.diff import diff
from flows.cli.inspect import inspect
from flows.pipelines import last_run
from flows.pipelines.fingerprints import Fingerprint
from tests import small_package
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
    staged = CliRunner().invoke(inspect, ["photos"], catch_exceptions=False)
    assert "61 samples" in staged.stdout
    assert "validation did not accept them" in staged.stderr


def test_samples_of_a_refused_run_are_inspected_as_ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    contents: list[tuple[str, bytes, str | None]] = [("ab"[row % 2], jpeg(row), None) for row in range(40)]
    contents += [("b", jpeg(0, 70), "test"), ("a", b"no picture", None)]
    folder = dataset(Path("data/photos"), "{test: 0.3, validation: 0.3}", contents)
    shutil.rmtree(folder / "validated")
    reports = tmp_path / ".modelyard/reports/photos"
    reports.mkdir(parents=True)
    digest = json.loads((folder / "raw/manifest.json").read_text())["digest"]
    (reports / "raw.json").write_text(json.dumps({"subject_digest": digest, "success": False}))

    result = CliRunner().invoke(inspect, ["photos", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["samples"] == 41
    assert found["noise"] is not None
    pair = {"first": "0.x", "second": "40.x", "first_split": "", "second_split": "test"}
    assert [{key: one[key] for key in pair} for one in found["near_duplicates"]] == [pair]
    assert [one["second"] for one in found["conflicts"]] == ["40.x"]
    notes = "; ".join(found["notes"])
    assert "ingested and not prepared; validation has refused them" in notes
    assert "1 samples cannot be read, and are not inspected: 41.x (" in notes
    assert not list((tmp_path / ".modelyard").glob("inspect-*"))

    shutil.rmtree(folder / "raw")
    with pytest.raises(NotFoundError, match="photos is not ingested") as caught:
        CliRunner().invoke(inspect, ["photos"], catch_exceptions=False)
    assert "modelyard run" in str(caught.value.next_step)


def test_labels_are_judged_by_a_trained_model_that_has_not_learnt_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/sample.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    teacher = Predictor(small_package.build(tmp_path / "teacher"))
    rng = np.random.default_rng(7)
    lit = rng.random((120, 8, 8, 1)) < 4 / 64
    images = np.where(lit, rng.integers(64, 256, lit.shape), 0).astype(np.uint8)
    truth = teacher.run("model", {"images": images})["probabilities"].argmax(axis=1)
    wrong = {f"{row}.x" for row in range(1, 120, 10)}
    contents = []
    for row, number in enumerate(truth.tolist()):
        label = small_package.CLASSES[(number + (f"{row}.x" in wrong)) % len(small_package.CLASSES)]
        contents.append((label, png.encode(images[row, ..., 0]), ("train", "validation", "test")[row % 3]))
    folder = dataset(Path("data/photos"), "{near_duplicates: ignore}", contents)
    spec = (folder / "dataset.yaml").read_text()
    (folder / "dataset.yaml").write_text(
        spec.replace("{height: 24, width: 24, channels: 3}", "{height: 8, width: 8, channels: 1}")
    )
    preparation.main(["data/photos"])
    shutil.copytree(tmp_path / ".modelyard/staging/photos/prepared", folder / "prepared")
    data = manifest.load(folder / "prepared", "prepared").digest
    last_run.record(project, "sample", "evaluate", {"a": 1})
    place = project.package(Fingerprint({"a": 1}).digest)
    small_package.build(place, facts={"data_digest": data})

    result = CliRunner().invoke(inspect, ["photos", "--model", "sample", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    by_model = {one["id"] for one in found["wrong_labels"] if one["judge"] == "sample"}
    there = {one for one in wrong if int(one[:-2]) % 3}
    assert by_model
    assert by_model <= there
    assert {one["split"] for one in found["wrong_labels"] if one["judge"] == "a light model"} <= {"train"}
    assert any("validation (40) and test (40) are judged by sample, which did not" in note for note in found["notes"])

    shutil.rmtree(place)
    small_package.build(place)
    with pytest.raises(UsageError, match="was trained on another version of the data"):
        CliRunner().invoke(inspect, ["photos", "--model", "sample"], catch_exceptions=False)
    with pytest.raises(NotFoundError, match="no pipeline other"):
        CliRunner().invoke(inspect, ["photos", "--model", "other:3"], catch_exceptions=False)
