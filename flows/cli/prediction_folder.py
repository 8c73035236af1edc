"""The folder of a model's prediction log, for the commands that read or add to it."""

from __future__ import annotations

import re
from pathlib import Path

from components.contracts.dataset import NAME
from components.core.errors import NotFoundError
from components.core.project import Project
from flows.pipelines import named_pipeline


def find(project: Project, model: str) -> Path:
    """The folder of the log of a model that has answered something.

    Raises:
        UsageError: that is no name of a model.
        NotFoundError: there is no such model, or it has logged nothing in this project.
    """
    log = project.predictions(model)
    if re.fullmatch(NAME, model) and log.is_dir():  # also of a model whose pipeline was removed
        return log
    named_pipeline.check(project, model)
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
