"""A stage on another machine opens no path of the project, and produces the same artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageRequest
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import manifest
from components.registry.api import Api
from flows.pipelines.stages import RunContext
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner
from tests.runners.digits_requests import ROOT, keys_of, requests
from tests.runners.other_machine import OtherMachineRunner


def test_a_request_is_data_without_a_path_of_this_machine(project: Project, spec: PipelineSpec) -> None:
    request = next(requests(project, spec))
    text = request.model_dump_json()
    assert StageRequest.model_validate_json(text) == request
    assert str(project.root.parent) not in text
    assert str(ROOT) not in text
    assert [artifact.digest for artifact in request.inputs] == [keys_of(project, spec).data_digest]


@pytest.mark.parametrize("path", ["/etc", "../outside", ""])
def test_a_request_names_places_in_its_workspace_alone(path: str) -> None:
    document = {"stage": "training", "document": "{}", "request_file": path}
    with pytest.raises(ValueError, match="below the workspace"):
        StageRequest.model_validate_json(json.dumps(document))


@pytest.mark.slow
def test_another_input_than_the_request_names_is_refused(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    request = next(requests(project, spec))
    wrong = request.inputs[0].model_copy(update={"digest": "0" * 64})
    changed = request.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(CorruptArtifactError, match="not the one that the request names"):
        LocalProcessRunner(project.root).submit(changed)
    runner = OtherMachineRunner(project.root, tmp_path / "machine", tmp_path / "store")
    with Api("http://127.0.0.1:9") as api, pytest.raises(NotFoundError):
        RunContext(project, spec, api, print, runner).run(changed)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_other_machine_makes_the_same_artifacts(project: Project, spec: PipelineSpec, tmp_path: Path) -> None:
    def through(runner: stage_runner.StageRunner) -> tuple[dict[str, str], list[str]]:
        events: list[str] = []
        digests: dict[str, str] = {}
        for request in requests(project, spec):
            result = stage_runner.run(runner, request, events.append, print)
            digests |= {artifact.path: artifact.digest for artifact in result.artifacts if artifact.kind != "report"}
        return digests, events

    other = OtherMachineRunner(project.root, tmp_path / "machine", tmp_path / "store")
    elsewhere, events = through(other)
    assert {json.loads(line)["event"] for line in events} >= {"started", "metrics", "finished"}
    keys = keys_of(project, spec)
    package, run_folder = project.package(keys.package.digest), project.run_folder(keys.train.digest)
    collected = manifest.verify(package, "package").digest
    assert (run_folder / "plots" / "confusion.png").is_file()
    assert not (run_folder / "checkpoints").exists()  # that stays on the other machine
    local, _ = through(LocalProcessRunner(project.root))
    assert list(local) == list(elsewhere)
    assert local == elsewhere
    assert elsewhere[str(package.relative_to(project.root))] == collected
