"""Where a batch is scored: in processes of this machine, or on the Dask cluster that `run:` or modelyard.toml names."""

from __future__ import annotations

from components.contracts import settings
from components.contracts.dask_request import DaskRequest
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import DaskSpec
from components.core.project import Project
from flows.pipelines import data_placement

STAGE = "score"


def cluster(project: Project, spec: PipelineSpec, processes: int | None) -> DaskRequest | None:
    """The Dask cluster that scores with a pipeline's model; None: processes of this machine do.

    Args:
        processes: of this machine, if they are asked for; they come before a cluster.

    Raises:
        SpecError: modelyard.toml is wrong.
        NotFoundError: a file of `tls` is not there.
    """
    named = spec.run.score or settings.read(project.root).run.score
    if processes is not None or not isinstance(named, DaskSpec):
        return None
    return data_placement.request(project, named, spec.task, STAGE)
