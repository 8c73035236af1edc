"""What `modelyard doctor` says of the Dask schedulers that `[run]` of `modelyard.toml` names."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from components.cluster.examination import PACKAGES, DaskAnswer, DaskExamination
from components.contracts import settings
from components.contracts.runner_spec import DaskSpec
from components.core.errors import ModelyardError
from components.core.project import Project

Verdict = Literal["ok", "warn", "fail"]
LIMIT_SECONDS = 30.0  # for a scheduler and all its workers to answer, imports of Dask included


def of(project: Project) -> tuple[Verdict, str, str]:
    """Ask each scheduler; returns the verdict, what was found, and what to do.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    placed = settings.read(project.root).run
    stages = {name: spec for name in ("prepare", "score") if isinstance(spec := getattr(placed, name), DaskSpec)}
    if not stages:
        return "ok", "modelyard.toml names no Dask cluster", ""
    with ThreadPoolExecutor(len(stages)) as pool:
        found = list(pool.map(lambda stage: _stage(project, *stage), stages.items()))
    worst: Verdict = next((verdict for verdict in ("fail", "warn") if verdict in {one[0] for one in found}), "ok")
    todo = dict.fromkeys(one[2] for one in found if one[2])
    return worst, "; ".join(dict.fromkeys(one[1] for one in found)), "; ".join(todo)


def _stage(project: Project, name: str, spec: DaskSpec) -> tuple[Verdict, str, str]:
    """As `of`, of one stage."""
    if spec.scheduler is None:
        return "ok", f"{name} by Dask workers of this machine", ""
    assert f"run.{name}" in PACKAGES  # noqa: S101  # every stage that Dask runs
    folder = project.state if project.state.is_dir() else project.root
    request = DaskExamination(cluster=spec, place=f"run.{name}", folder=str(folder))
    command = [sys.executable, "-m", "components.cluster.examination"]
    try:
        done = subprocess.run(
            command,
            input=request.model_dump_json(),
            capture_output=True,
            text=True,
            cwd=project.root,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        waited = f"{name}: {spec.scheduler} or one of its workers does not answer in {LIMIT_SECONDS:.0f} s"
        return "fail", waited, f"is the scheduler up, and reached from here? else correct run.{name}"
    try:
        document = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return "fail", f"{name}: {spec.scheduler} could not be asked: {last}", "look at the error"
    if "error" in document:
        error = ModelyardError.from_dict(document)
        facts = [fact for fact in (error.got, error.expected and f"expected {error.expected}") if fact]
        return "fail", f"{name}: {error.what} ({error.where}): {', '.join(facts)}", error.next_step or ""
    answer = DaskAnswer.model_validate(document)
    if answer.workers == 0:
        return "warn", f"{name}: {spec.scheduler} answers, and has no worker", f"dask worker {spec.scheduler}"
    has = f"{answer.workers} workers with {answer.threads} threads"
    return "ok", f"{name}: {spec.scheduler}, {has}, with the versions of this machine", ""
