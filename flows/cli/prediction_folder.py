"""The pipeline and the prediction log of a model, for the commands that read or add to what it answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts.dataset import NAME
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.pipeline import PipelineSpec


def find(project: Project, model: str) -> Path:
    """The folder of the log of a model that has answered something.

    Raises:
        UsageError: that is no name of a model.
        NotFoundError: there is no such model, or it has logged nothing in this project.
    """
    check(model)
    log = project.predictions(model)
    if log.is_dir():
        return log
    if not project.pipeline_file(model).is_file():
        raise _unknown(project, model)
    from components.release import ledger as ledgers
    from components.release import production as productions

    is_served = productions.decided(ledgers.of(project, model).entries()).production.champion is not None
    raise NotFoundError(
        f"{model} has logged no answer here",
        where=str(log),
        next_step=f"ask it something: `modelyard predict {model} FILE` (serving.log.share: 0 keeps no log)"
        if is_served
        else f"`modelyard promote {model} VERSION` serves it",
    )


def pipeline(project: Project, model: str) -> PipelineSpec:
    """The pipeline file of a model.

    Raises:
        UsageError: that is no name of a model.
        NotFoundError: there is no pipeline of this name.
        ConfigError: the file cannot be read.
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml

    check(model)
    if not project.pipeline_file(model).is_file():
        raise _unknown(project, model)
    return located_yaml.read(project.pipeline_file(model), PipelineSpec)


def check(model: str) -> None:
    """Check the form of a name, of which files are named.

    Raises:
        UsageError: it is none.
    """
    if not re.fullmatch(NAME, model):
        raise UsageError("that is no name of a model", got=model, next_step="`modelyard models` lists them")


def _unknown(project: Project, model: str) -> NotFoundError:
    names = sorted(path.stem for path in project.pipelines.glob("*.yaml"))
    return NotFoundError(
        f"there is no pipeline {model}", where=str(project.pipelines), got=f"{model}.yaml", expected=", ".join(names)
    )
