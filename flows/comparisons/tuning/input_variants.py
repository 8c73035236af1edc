"""Prepared data of a dataset under other settings of `input:`, made by the stages that make the dataset itself.

A variant has the raw and the validated data of the dataset, so nothing is ingested again. Once the settings
stand in dataset.yaml, DVC prepares data of the same digest, and what was trained on the variant stays trained.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.core import atomic, file_lock, located_yaml
from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from components.core.stage_process import ERROR_FILE, failure
from components.identity import digest
from components.identity import manifest as manifests
from components.tasks.dataset_file import settings as read_settings
from flows.comparisons import pipeline_file

SECTION = "input"


def prepared(project: Project, dataset: str, content: str, overrides: dict[str, Any], log: Log) -> Path:
    """The folder of the prepared data, made if it is not there.

    Args:
        content: of dataset.yaml.
        overrides: dotted keys below `input` and their values; without any, the folder is the dataset's own.

    Raises:
        SpecError: the settings do not fit the task.
        ModelyardError: a sample cannot be prepared so, or the prepared data does not meet its expectations.
    """
    own = project.dataset(dataset)
    file = own / "dataset.yaml"
    changed = located_yaml.read(file, DatasetSpec, overrides, content=content)
    read_settings(changed, tasks.find(changed.task), file)
    if changed.input == located_yaml.read(file, DatasetSpec, content=content).input:
        return own / "prepared"
    workspace = project.state / "inputs" / _identity(own, changed)[:16]
    folder = workspace / "data" / dataset
    with file_lock.locked(workspace.with_suffix(".lock"), f"another trial that prepares {dataset}", log):
        if not (folder / "prepared" / "manifest.json").is_file():
            log(f"preparing {dataset} with {', '.join(f'{key}: {value}' for key, value in overrides.items())}")
            _prepare(project, own, content, workspace, folder, overrides)
    return folder / "prepared"


def _identity(own: Path, changed: DatasetSpec) -> str:
    code = own.parent / ".code" / own.name / "prepare.json"
    return digest.of_value(
        {
            "spec": changed.model_dump(mode="json"),
            "validated": manifests.load(own / "validated", "validated").digest,
            "expectations": digest.of_file(own / "expectations.json"),
            "code": digest.of_file(code) if code.is_file() else None,
        }
    )


def _prepare(
    project: Project, own: Path, content: str, workspace: Path, folder: Path, overrides: dict[str, Any]
) -> None:
    shutil.rmtree(workspace, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(own / "expectations.json", folder)
    atomic.write_text(folder / "dataset.yaml", content)
    pipeline_file.set_keys(folder / "dataset.yaml", overrides)
    for name in ("raw", "validated"):
        (folder / name).symlink_to(own / name)
    place = f"data/{own.name}"
    for stage, *arguments in (
        ("preparation", place),
        ("validation", "prepared", place),
        ("preparation", place, "--accept"),
    ):
        _run(project, workspace, stage, arguments)


def _run(project: Project, workspace: Path, stage: str, arguments: list[str]) -> None:
    paths = [str(project.source_root), str(project.root), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="modelyard-input-") as scratch:
        error_file = Path(scratch) / "error.json"
        done = subprocess.run(
            [sys.executable, "-m", f"components.{stage}", *arguments],
            cwd=workspace,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), ERROR_FILE: str(error_file)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise failure(done.returncode, error_file) or ModelyardError(
                f"{stage} failed", where=str(workspace), got=done.stderr.strip()[-500:]
            )
