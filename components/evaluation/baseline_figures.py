"""A package's figure beside that of its best baseline, as its metrics.json has them; imports no heavy library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from components import tasks
from components.identity.package import Package

NO_BETTER = "NO BETTER THAN A BASELINE"


class BaselineFigures(NamedTuple):
    """A model and the best of the answers without a network, on the package's own test split.

    Args:
        metric: the first metric of the task that both have.
        baseline: name of the best baseline by this metric.
        rows: figures of the model ("the model") and of each baseline, by metric.
    """

    metric: str
    figure: float
    baseline: str
    baseline_figure: float
    is_better: bool
    rows: list[tuple[str, dict[str, float]]]

    def sentence(self) -> str:
        """Both figures in one line."""
        metric = self.metric.replace("_", " ")
        beside = f"{metric} {self.figure:.4f} beside {self.baseline_figure:.4f} of {self.baseline}"
        return beside if self.is_better else f"{NO_BETTER}: {beside}"


def of_package(package: Package) -> BaselineFigures | None:
    """The figures; None if metrics.json has no baselines: the task has none, or the package is older than they are.

    Raises:
        NotFoundError: the package's task cannot be imported.
    """
    metrics: Mapping[str, Any] = package.metrics()
    outcome, known = metrics.get("better_than_baselines"), metrics.get("baselines") or []
    if outcome is None:
        return None
    name = str(outcome["metric"])
    sign = 1 if tasks.find(package.facts.task).metrics[name].higher_is_better else -1
    best = max((one for one in known if name in one["figures"]), key=lambda one: sign * float(one["figures"][name]))
    own = {key: float(value) for key, value in metrics["overall"].items()}
    rows = [("the model", own), *((str(one["name"]), dict(one["figures"])) for one in known)]
    return BaselineFigures(
        name, own[name], str(best["name"]), float(best["figures"][name]), bool(outcome["is_better"]), rows
    )
