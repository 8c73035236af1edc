"""Where the data stage `prepare` runs: as `run:` says, else `[run]` of modelyard.toml, else on this machine.

DVC starts the stage here in any case; on a Dask cluster, the stage's process gives its partitions to the workers.
"""

from __future__ import annotations

from components import tasks
from components.contracts import settings
from components.contracts.dask_request import DaskRequest
from components.contracts.dask_variable import VARIABLE
from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import DaskSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.tasks import rows_by_column
from flows.runners import source_archive

STAGE = "prepare"


def cluster(project: Project, spec: PipelineSpec) -> DaskSpec | None:
    """The Dask cluster that prepares the data of a pipeline; None if no cluster does.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    named = spec.run.prepare or settings.read(project.root).run.prepare
    return named if isinstance(named, DaskSpec) else None


def check(project: Project, spec: PipelineSpec) -> None:
    """Check that the data can be prepared where the pipeline or modelyard.toml says.

    Raises:
        UsageError: a Dask cluster is named, and the data is no table that is prepared by partitions.
        SpecError, NotFoundError: a file is wrong, or not there.
    """
    if cluster(project, spec) is None:
        return
    dataset = project.dataset(spec.dataset) / "dataset.yaml"
    data = located_yaml.read(dataset, DatasetSpec)
    if (reason := rows_by_column.no_partitions(data, tasks.find(data.task))) is not None:
        place = project.pipeline_file(spec.name) if spec.run.prepare else project.root / settings.FILE_NAME
        raise UsageError(
            "runner: dask cannot prepare this dataset",
            where=f"{place}, run.prepare",
            got=f"{spec.dataset}: {reason}",
            expected="rows of a table, whose splits are drawn by sample",
            next_step="prepare it on this machine: `run: {prepare: {runner: local}}` in the pipeline"
            + _without_field(project, data, reason),
        )


def _without_field(project: Project, data: DatasetSpec, reason: str) -> str:
    """That a field which the splits do not need can be taken out, as `modelyard new` writes one for dates."""
    for field in sorted(data.source_fields()):
        if reason.startswith(f"the field {field} "):
            path = project.dataset(data.name) / "dataset.yaml"
            return f"; or take `{field}:` out of the source in {path}, if nothing needs it"
    return ""


def environment(project: Project, spec: PipelineSpec, stage: str) -> dict[str, str]:
    """What the process of a data stage gets in its environment beside ours.

    Raises:
        SpecError: modelyard.toml is wrong.
        NotFoundError: a file of `tls` is not there.
    """
    found = cluster(project, spec) if stage == STAGE else None
    if found is None:
        return {}
    task = located_yaml.read(project.dataset(spec.dataset) / "dataset.yaml", DatasetSpec).task
    return {VARIABLE: request(project, found, task, STAGE).model_dump_json()}


def request(project: Project, cluster: DaskSpec, task: str, stage: str) -> DaskRequest:
    """What the process of a stage needs to use a cluster.

    Args:
        task: whose code the workers need.
        stage: as in `run:`.

    Raises:
        NotFoundError: a file of `tls` is not there.
    """
    code = None
    if cluster.scheduler is not None:  # whose workers may have none of our code, or another version
        code = str(source_archive.ensure(project.state / "dask" / "code", project.source_root, [tasks.module(task)]))
        for name, path in cluster.tls.model_dump().items() if cluster.tls else ():
            if not (project.root / path).expanduser().is_file():
                raise NotFoundError(f"no such file: {path}", where=f"run.{stage}.tls.{name}")
    return DaskRequest(cluster=cluster, code=code)
