"""The folder of a model's prediction log, for the commands that read or add to it."""

from __future__ import annotations

import re
from pathlib import Path

from components.contracts.dataset import NAME
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project


def find(project: Project, model: str) -> Path:
    """The folder of the log of a model that has answered something.

    Raises:
        UsageError: that is no name of a model.
        NotFoundError: it has logged nothing in this project.
    """
    if not re.fullmatch(NAME, model):
        raise UsageError("that is no name of a model", got=model, next_step="`modelyard models` lists them")
    log = project.predictions(model)
    if not log.is_dir():
        raise NotFoundError(
            f"{model} has logged no answer here",
            where=str(log),
            next_step=f"`modelyard promote {model} VERSION` serves it",
        )
    return log
