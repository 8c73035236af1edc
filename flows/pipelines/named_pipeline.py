"""The pipeline of a name: its file, or an error that says which pipelines there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from components.contracts.dataset import NAME
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.pipeline import PipelineSpec


def read(project: Project, name: str) -> PipelineSpec:
    """The pipeline file of a name.

    Raises:
        UsageError, NotFoundError: as `check`.
        SpecError: the file cannot be read.
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml

    check(project, name)
    return located_yaml.read(project.pipeline_file(name), PipelineSpec)


def check(project: Project, name: str) -> None:
    """Check that there is a pipeline of a name.

    Raises:
        UsageError: that is no name of a pipeline, of which files are named.
        NotFoundError: there is no such pipeline.
    """
    if not re.fullmatch(NAME, name):
        raise UsageError("that is no name of a model or pipeline", got=name, next_step="`modelyard models` lists them")
    path = project.pipeline_file(name)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in project.pipelines.glob("*.yaml")))
        raise NotFoundError(f"there is no pipeline {name}", where=str(path), expected=names or None)
