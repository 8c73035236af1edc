"""The stale stages of a dataset according to DVC, with reasons."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from components.contracts.dataset import DatasetSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError, Problem, SpecError, UsageError
from components.core.project import Project
from components.identity import manifest, source_code
from components.versioning import clean_state, last_code, stage_code
from components.versioning.stage_status import StageStatus

if TYPE_CHECKING:
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

_FOLDERS: dict[str, manifest.Kind] = {"ingest": "raw", "validate": "validated", "prepare": "prepared"}
_MAX_CHANGES = 5


def status(project: Project, dataset: str) -> tuple[StageStatus, ...]:
    """The status of the data stages in order, as `dvc repro` would find it; runs no stage.

    A stage after a stale stage is stale too, even if DVC finds its inputs unchanged.

    Raises:
        NotFoundError: the dataset does not exist, or params.yaml does not list it.
        SpecError: dataset.yaml is wrong, or lacks a section that a stage depends on.
        CorruptArtifactError: a file of a stage's output was changed by hand.
        UsageError: the project is no git repository.
    """
    check(project, dataset)
    path = project.dataset(dataset) / "dataset.yaml"
    code = {name: stage_code.identity(project.root, path, name) for name in stage_code.STAGES}
    state = clean_state.fingerprint(project, dataset, code)
    if clean_state.is_known(project, dataset, state):
        return tuple(StageStatus(name, True, ()) for name in stage_code.STAGES)
    statuses = _dvc_status(project, dataset, code)
    if all(stage.current for stage in statuses):
        clean_state.keep(project, dataset, state)
    return statuses


def _dvc_status(project: Project, dataset: str, code: dict[str, source_code.SourceIdentity]) -> tuple[StageStatus, ...]:
    from dvc.repo import Repo  # the import takes a second

    statuses: list[StageStatus] = []
    with _in_git(project), Repo(str(project.root)) as repo:
        for name in stage_code.STAGES:
            stage = load(repo, project, f"{name}@{dataset}")
            reasons = list(_reasons(project, dataset, name, stage, code[name]))
            first = next((earlier.stage for earlier in statuses if not earlier.current), None)
            if first:
                reasons.append(f"{first} runs before it")
            if not reasons:
                last_code.keep(project, dataset, name, code[name])
            statuses.append(StageStatus(name, not reasons, tuple(reasons)))
    return tuple(statuses)


@contextmanager
def _in_git(project: Project) -> Iterator[None]:
    from dvc.scm import SCMError

    try:
        yield
    except SCMError as error:  # a project that was copied or downloaded without its history
        raise UsageError(
            "git cannot be used in this project",
            where=str(project.root),
            got=error,
            next_step="`git init`, then `git add --all` and `git commit`: versions name the commit that they are of",
        ) from error


def check(project: Project, dataset: str) -> None:
    """Check that a dataset has everything that DVC's stages depend on.

    Raises:
        NotFoundError: expectations.json is missing.
        SpecError: dataset.yaml is wrong, or lacks a section that a stage depends on.
    """
    path = project.dataset(dataset) / "dataset.yaml"
    spec = located_yaml.read(path, DatasetSpec)
    missing = [name for name in ("source", "split", "input") if name not in spec.model_fields_set]
    if missing:
        message = "this section is required: the stages depend on it"
        raise SpecError(str(path), tuple(Problem(name, message) for name in missing))
    if not (path.parent / "expectations.json").is_file():
        raise NotFoundError(f"no such file: {path.parent / 'expectations.json'}", next_step="write its expectations")


def load(repo: Repo, project: Project, name: str) -> PipelineStage:
    """One stage of dvc.yaml with its entry of dvc.lock.

    Raises:
        NotFoundError: params.yaml does not list the dataset.
    """
    from dvc.stage.exceptions import StageNotFound

    try:
        return repo.stage.load_one(path=str(project.root / "dvc.yaml"), name=name)
    except StageNotFound as error:
        dataset = name.partition("@")[2]
        raise NotFoundError(
            f"DVC knows no stage {name}",
            where=str(project.root / "params.yaml"),
            next_step=f"add {dataset} to the list `datasets` in params.yaml",
        ) from error


def _reasons(
    project: Project, dataset: str, name: str, stage: PipelineStage, code: source_code.SourceIdentity
) -> Iterator[str]:
    from dvc.dependency.param import ParamsDependency

    if not any(dependency.hash_info for dependency in stage.deps):
        yield "never made here"
        return
    if stage.changed_stage():
        yield "its command in dvc.yaml changed"
    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            yield from _parameters(dependency)
        elif dependency.def_path.startswith("data/.code/"):
            yield from _code(project, dataset, name, dependency.hash_info.value, code)
        elif (change := dependency.status()) and "modified" in change.values():
            yield f"{dependency.def_path} changed since"
    for output in stage.outs:
        change = output.status()
        if "modified" in change.values():
            _verify(project, dataset, name)
            yield f"{output.def_path} is not the one made last"
        elif change:
            yield f"{output.def_path} is not here" if not output.exists else f"{output.def_path} is new"


def _code(
    project: Project, dataset: str, name: str, locked: str | None, code: source_code.SourceIdentity
) -> Iterator[str]:
    if hashlib.md5(stage_code.as_text(code).encode(), usedforsecurity=False).hexdigest() == locked:
        return
    before = last_code.read(project, dataset, name)
    changes = source_code.changes(before, code) if before is not None else []
    yield from _first_changes(changes) if changes else ["its code changed"]


def _parameters(dependency: ParamsDependency) -> Iterator[str]:
    before = dict(_flatten(dependency.hash_info.value or {}))
    now = dict(_flatten(dependency.read_params()))
    file = dependency.def_path.rpartition("/")[2]
    changes = [
        f"{file} {key}: {before.get(key, 'nothing')} -> {now.get(key, 'nothing')}"
        for key in dict.fromkeys([*before, *now])
        if key not in before or key not in now or before[key] != now[key]
    ]
    yield from _first_changes(changes)


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield path, value
        return
    for key, inner in items:
        yield from _flatten(inner, f"{path}.{key}" if path else str(key))


def _first_changes(changes: list[str]) -> list[str]:
    rest = len(changes) - _MAX_CHANGES
    return [*changes[:_MAX_CHANGES], f"and {rest} more"] if rest > 0 else changes


def _verify(project: Project, dataset: str, name: str) -> None:
    kind = _FOLDERS[name]
    try:
        manifest.verify(project.dataset(dataset) / kind, kind)
    except ModelyardError as error:
        raise CorruptArtifactError(
            error.what,
            where=error.where,
            got=error.got,
            expected=error.expected,
            next_step=f"modelyard run <pipeline> --force {name} makes it anew",
        ) from error
