"""A real service rolls over under load, and keeps serving if the next bundle does not start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import rollover
from components.access import project_door
from components.access.secret import Credentials
from components.contracts.serving_spec import ServiceStatus
from components.core.errors import StackError
from components.core.project import Project
from components.identity import manifest
from components.packaging.bundle import Bundle
from flows.platform import orphans
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return rollover.bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with rollover.platform(tmp_path / "project") as project:
        yield project


def statuses(project: Project, url: str) -> ServiceStatus:
    headers = Credentials("", project_door.secret_of(project) or "").headers
    answer = httpx.get(f"{url}/status", headers=headers, trust_env=False, verify=False)
    return ServiceStatus.model_validate_json(answer.raise_for_status().content)


def test_no_request_fails_while_code_and_workers_change(bundles: list[Bundle], project: Project) -> None:
    first, other_code, more_workers = bundles[0], bundles[1], bundles[3]
    among = [first, other_code, more_workers]
    answers, _ = rollover.roll(project, among, 2, keep_alive=None, steady_seconds=1, pause=0.03)
    assert answers.failures == []
    assert len(answers.ends) > 1000


def test_a_bundle_that_does_not_start_leaves_the_earlier_processes_serving(
    bundles: list[Bundle], project: Project
) -> None:
    url = rollover.serve(project, bundles[0])
    both = eventually(
        lambda: len(statuses(project, url).workers) == 2 and statuses(project, url), "both workers report"
    )
    before = {worker.worker for worker in both.workers}
    broken = rollover.copy(bundles[0], "8" * 64)
    with (broken.source / "serving" / "canary.py").open("a") as stream:
        stream.write("\nraise SystemExit('it breaks')\n")
    rollover.seal(broken)
    with pytest.raises(StackError, match="it breaks") as caught:
        rollover.serve(project, broken)
    assert "did not become ready" in caught.value.what
    status = statuses(project, url)
    assert {worker.worker for worker in status.workers} == before
    assert {worker.code for worker in status.workers} == {manifest.load(bundles[0].source, "bundle").facts["code"]}
    running = orphans.find(str(project.root), "serve-sample")
    assert not [process for process in running if str(broken.folder) in " ".join(process.cmdline())]
    assert all(os.getpgid(pid) for pid in before)
