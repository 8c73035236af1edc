"""What the command asks of `components.rehearsal`: rehearse monitoring policies on scenarios."""

from __future__ import annotations

from pydantic import Field

from components.contracts.monitor_spec import MonitorSpec
from components.contracts.rehearsal_scenario import ScenarioSpec
from components.contracts.request_file import RequestFile
from components.contracts.row_expectations import Enforce
from components.core.strict import Strict


class PolicySpec(Strict):
    """A policy that is rehearsed.

    Args:
        name: in tables and plots.
        canary_percent: share of the requests that a challenger answers; 0: it shadows.
        keeps_inputs: whether the log keeps inputs, so that embeddings are watched.
        enforce: what becomes of requests that miss an expectation.
    """

    name: str
    monitor: MonitorSpec
    canary_percent: float = Field(default=0.0, ge=0, le=100)
    keeps_inputs: bool = False
    enforce: Enforce = "none"


class RehearsalRequest(RequestFile):
    """`python -m components.rehearsal REQUEST.json`; paths are relative to the working directory.

    Args:
        dataset: folder of the dataset that the model was trained on.
        packages: folders below which sealed packages lie.
        package: digest of the one that answers; None: of a log, the one that answered most.
        log: folder of the prediction log; None: rows of the dataset.
        cache: folder of rows that were made before.
        references: folder of references that were made before.
        target: folder of the result, result.json and report.html.
        training_seconds: of packages whose training time is known, by digest.
        months: of 730 hours.
        only_fitting: whether scenarios that do not fit the rows are left out instead of refused.
    """

    model: str
    dataset: str
    packages: list[str]
    package: str | None
    log: str | None
    cache: str
    references: str
    target: str
    policies: list[PolicySpec] = Field(min_length=1, max_length=2)
    scenarios: list[ScenarioSpec] = Field(min_length=1)
    months: float = Field(gt=0, le=120)
    seed: int = Field(ge=0)
    only_fitting: bool = False
    training_seconds: dict[str, float] = Field(default={})
