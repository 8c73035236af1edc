"""Gate baseline: the model's figure beside that of the best answer without a network, on the package's test split.

Both figures are those of the sealed metrics.json; the integrity gate compares the model's with one scored afresh.
"""

from __future__ import annotations

from components.contracts.gate_request import GateResult
from components.evaluation.baseline_figures import BaselineFigures, of_package
from components.identity.package import Package

DEMAND = "`gates: {beats_baseline: true}`"
_RETRAIN = "train longer or otherwise, mend the data, or serve the baseline itself, which needs no network"


def check(package: Package, demanded: bool) -> tuple[GateResult, BaselineFigures | None]:
    """Compare a package with its baselines.

    Args:
        demanded: whether a model that is no better than a baseline is refused; else the result only says so.
    """
    found = of_package(package)
    limit = "better than the best baseline" if demanded else "nothing: both figures are shown"
    if found is None:
        reason = "the package names no baseline: its task has none, or it was evaluated by an earlier version"
        next_step = "remove gates.beats_baseline for a task without baselines; else train it again"
        return _result(not demanded, {}, limit, reason, next_step), None
    figures: dict[str, float | int | str] = {
        "metric": found.metric,
        "model": found.figure,
        "baseline": found.baseline_figure,
        "best_baseline": found.baseline,
        "is_better": "yes" if found.is_better else "no",
    }
    reason = found.sentence()
    if not found.is_better and not demanded:
        reason += f"; {DEMAND} in the pipeline would refuse it"
    return _result(found.is_better or not demanded, figures, limit, reason, _RETRAIN), found


def _result(passed: bool, figures: dict[str, float | int | str], limit: str, reason: str, next_step: str) -> GateResult:
    return GateResult(
        gate="baseline", passed=passed, figures=figures, limit=limit, reason=reason,
        next_step=None if passed else next_step,
    )  # fmt: skip
