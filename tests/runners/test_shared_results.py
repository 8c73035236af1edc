"""What one project has trained from equal inputs, another takes from the store that both use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core.project import Project
from components.identity import manifest
from components.identity.artifact_store import LocalArtifactStore
from flows.pipelines import stage_requests
from flows.runners import shared_results, stage_runner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.shared_results import SharingRunner
from tests.runners.digits_requests import keys_of, requests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Counting(LocalProcessRunner):
    """Counts what it runs."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.stages: list[str] = []

    def submit(self, request: StageRequest) -> StageHandle:
        self.stages.append(request.stage)
        return super().submit(request)


class Worked(NamedTuple):
    """What a person's run did."""

    stages: list[str]
    log: list[str]
    events: list[str]
    results: list[StageResult]


def work(project: Project, spec: PipelineSpec, store: Path, by: str, which: Iterator[StageRequest]) -> Worked:
    found = Worked([], [], [], [])
    inner = Counting(project.root)
    runner = SharingRunner(inner, project, LocalArtifactStore(store), by, found.log.append)
    for request in which:
        found.results.append(stage_runner.run(runner, request, found.events.append, lambda _: None))
    found.stages.extend(inner.stages)
    return found


@pytest.fixture
def colleague(project: Project, tmp_path: Path) -> Project:
    folder = tmp_path / "colleague"
    shutil.copytree(project.root, folder)
    return Project(folder)


def test_a_colleague_takes_what_was_trained_and_evaluated(
    project: Project, colleague: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = work(project, spec, store, "ann", requests(project, spec))
    assert (first.stages, first.log) == (["training", "evaluation"], [])
    second = work(colleague, spec, store, "bob", requests(colleague, spec))
    assert second.stages == []
    assert [line.partition(" on ")[0] for line in second.log] == ["training: done by ann", "evaluation: done by ann"]
    assert all(line.endswith("taken from the store") for line in second.log)
    assert second.results == first.results
    assert second.events == first.events
    assert {json.loads(line)["event"] for line in second.events} >= {"started", "metrics", "finished"}
    keys = keys_of(colleague, spec)
    manifest.verify(colleague.package(keys.package.digest), "package")
    assert (colleague.run_folder(keys.train.digest) / "plots" / "confusion.png").is_file()

    forced = stage_requests.training(colleague, spec, keys, None, afresh=True, force=True)
    third = work(colleague, spec, store, "bob", iter([forced]))
    assert (third.stages, third.log) == (["training"], [])  # it came to the same, of which there is nothing to say

    key = shared_results.key_of(forced)
    entry = LocalArtifactStore(store).read_entry(key)
    assert entry is not None
    other = [{**one, "digest": entry["artifacts"][1]["digest"]} for one in entry["artifacts"]]
    LocalArtifactStore(store).write_entry(key, {**entry, "artifacts": other})
    fourth = work(colleague, spec, store, "bob", iter([forced]))
    assert "something else than ann" in fourth.log[0]

    (store / "entries" / f"{key}.json").write_text("{")
    fifth = work(colleague, spec, store, "bob", iter([forced.model_copy(update={"discard": ()})]))
    assert "cannot be read" in fifth.log[0]
    assert fifth.stages == ["training"]


def test_a_store_that_is_not_whole_or_refuses_is_no_reason_to_fail(
    project: Project, colleague: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    request = next(requests(project, spec))
    work(project, spec, store, "ann", iter([request]))
    blob = max((store / "blobs").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    blob.write_bytes(b"damaged")
    damaged = work(colleague, spec, store, "bob", iter([request]))
    assert damaged.stages == ["training"]
    assert "cannot be taken from the store" in damaged.log[0]
    assert damaged.log[-1] == "what was damaged in the store is replaced by this result of training"
    assert blob.read_bytes() != b"damaged"
    mended = work(colleague, spec, store, "ann", iter([request]))
    assert mended.stages == []
    assert mended.log[-1].startswith("training: done by bob")
    shutil.rmtree(store / "manifests")
    again = work(colleague, spec, store, "bob", iter([request]))
    assert again.stages == ["training"]
    assert again.log == []
    shutil.rmtree(store)
    store.write_text("no folder")
    alone = work(colleague, spec, store, "bob", iter([request]))
    assert alone.results
    assert "is not in the store" in alone.log[-1]


def test_how_a_training_was_asked_for_is_not_part_of_its_key(project: Project, spec: PipelineSpec) -> None:
    keys = keys_of(project, spec)
    plain = stage_requests.training(project, spec, keys, None)
    forced = stage_requests.training(project, spec, keys, None, afresh=True, force=True)
    assert shared_results.key_of(plain) == shared_results.key_of(forced)
    longer = spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": 2})})
    other = stage_requests.training(project, longer, keys_of(project, longer), None)
    assert shared_results.key_of(plain) != shared_results.key_of(other)
