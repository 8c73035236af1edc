from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.project import Project
from flows.platform import lifecycle, ports, state, supervisor
from flows.platform.programs import Program
from flows.platform.state import StackState


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project; its stack is stopped after the test."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    empty_project = Project(tmp_path)
    yield empty_project
    lifecycle.down(empty_project)


def start_small(project: Project, *programs: Program) -> StackState:
    """A real supervisor with small programs in place of the servers."""
    # Not the usual port of a service: tests beside these look for a free one from there on.
    state.save(project, StackState(str(project.root), wanted=True, ports={"serve-digits": ports.choose(24000, ())}))
    stack_state, _ = state.claim(project)
    supervisor.write_configuration(project, programs)
    supervisor.start(project)
    return stack_state
