"""Gate champion: compare the candidate with the champion on the same frozen test split."""

from __future__ import annotations

from components.contracts.gate_request import GateRequest, GateResult
from components.contracts.pipeline import ChampionSpec
from components.evaluation.comparison import ChampionComparison, compare
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.gates.scoring import ScoringFailure


def nothing_to_compare(request: GateRequest) -> GateResult | None:
    """The gate's result if no comparison is needed; None if candidate and champion must be compared."""
    champion = request.champion
    if request.gates.champion is None:
        reason = "no comparison is asked for"
    elif request.role == "challenger":
        reason = "a challenger is compared while it runs beside the champion"
    elif champion is None:
        reason = "nothing serves yet"
    elif champion.package_digest == request.candidate.package_digest:
        reason = "it is the champion"
    else:
        return None
    limit = "no comparison" if request.gates.champion is None else "as good as the champion, if there is another"
    return GateResult(gate="champion", passed=True, figures={}, limit=limit, reason=reason)


def check(
    request: GateRequest,
    spec: ChampionSpec,
    candidate: Scored | ScoringFailure,
    champion: Scored | ScoringFailure,
    frozen: FrozenSplit,
    test_data: str,
) -> tuple[GateResult, ChampionComparison | None]:
    """Compare candidate and champion sample by sample; the comparison is None if one of them cannot be scored.

    Where a candidate may be worse (`min_effect` below 0), it may be worse by that much than the best version that has
    served, not than each one's successor: else many promotions could each lose a little.

    Args:
        test_data: digest of the prepared data, by which the next comparison knows the same test split.
    """
    metric = spec.metric or next(iter(frozen.task.metrics))
    if metric not in frozen.task.metrics:
        names = ", ".join(frozen.task.metrics)
        reason, next_step = f"{frozen.task.name} has no metric {metric}", f"gates.champion.metric is one of {names}"
        return _refused(f"a {metric}", reason, next_step), None
    higher = frozen.task.metrics[metric].higher_is_better
    for role, scored in (("candidate", candidate), ("champion", champion)):
        if isinstance(scored, ScoringFailure):
            reason = f"the {role} cannot be scored on the test split: {scored.reason}"
            next_step = "run the pipeline on this data, or turn the comparison off (gates.champion: null)"
            return _refused(metric.replace("_", " "), reason, next_step), None
    assert not isinstance(candidate, ScoringFailure)  # noqa: S101  # checked in the loop above
    assert not isinstance(champion, ScoringFailure)  # noqa: S101
    comparison = compare(
        candidate,
        champion,
        metric,
        higher_is_better=higher,
        min_effect=spec.min_effect,
        confidence=spec.confidence,
    )
    figures: dict[str, float | int | str] = {
        "metric": metric,
        "candidate": comparison.candidate,
        "champion": comparison.champion,
        "gain": comparison.gain,
        "lower_bound": comparison.lower,
        "upper_bound": comparison.upper,
        "min_effect": comparison.min_effect,
        "confidence": comparison.confidence,
        "samples": comparison.samples,
        "test_data": test_data,
    }
    if comparison.pairs is not None:
        figures |= {
            "candidate_only_right": comparison.pairs.candidate_only,
            "champion_only_right": comparison.pairs.champion_only,
        }
    if comparison.p_value is not None:
        figures["p_value"] = comparison.p_value
    assert request.champion is not None  # noqa: S101  # nothing_to_compare
    unit = " points" if comparison.scale == 100 else ""
    reason = (
        f"{metric.replace('_', ' ')} {comparison.candidate:.4f} against {comparison.champion:.4f} of version "
        f"{request.champion.version}: {format_gain(comparison, comparison.gain)}{unit}"
        f"{'' if higher else ' (lower is better, so + is a gain)'}, with {spec.confidence:.0%} confidence at least "
        f"{format_gain(comparison, comparison.lower)}; above {comparison.scale * spec.min_effect:+g} is asked"
    )
    best = request.best_served
    advice = None if comparison.passed else _next_step(comparison)
    if best is not None:
        figures |= {"best_served": best.figure, "best_version": best.version}
        reason += f"; the best that has served is version {best.version} with {best.figure:.4f}"
    if comparison.passed and best is not None and _has_drifted(comparison, best.figure):
        advice = f"train a better one, or go back: `modelyard promote {request.pipeline} {best.version}`"
        reason += f", and it is worse than that by more than {comparison.scale * -spec.min_effect:g}{unit}"
    return GateResult(
        gate="champion",
        passed=advice is None,
        figures=figures,
        limit=limit_text(comparison),
        reason=reason,
        next_step=advice,
    ), comparison


def _has_drifted(comparison: ChampionComparison, best: float) -> bool:
    """Whether a candidate that may be a little worse than the champion is worse by more than that than the best."""
    gain = comparison.candidate - best if comparison.higher_is_better else best - comparison.candidate
    return comparison.min_effect < 0 and gain < comparison.min_effect


def limit_text(comparison: ChampionComparison) -> str:
    """The limit of the gate as text."""
    by = f"{comparison.scale * abs(comparison.min_effect):g}{' points' if comparison.scale == 100 else ''}"
    better, worse = ("above", "below") if comparison.higher_is_better else ("below", "above")
    requirement = (
        f"less than {by} {worse} the champion's"
        if comparison.min_effect < 0
        else f"more than {by} {better} the champion's"
        if comparison.min_effect > 0
        else f"{better} the champion's"
    )
    return f"{comparison.metric.replace('_', ' ')} {requirement}, with {comparison.confidence:.0%} confidence"


def format_gain(comparison: ChampionComparison, gain: float) -> str:
    """Format a gain: in points if the metric is a share, else in the units of the metric."""
    return f"{comparison.scale * gain:+.2f}" if comparison.scale == 100 else f"{gain:+.4g}"


def _refused(metric: str, reason: str, next_step: str) -> GateResult:
    limit = f"{metric} as good as the champion's"
    return GateResult(gate="champion", passed=False, figures={}, limit=limit, reason=reason, next_step=next_step)


def _next_step(comparison: ChampionComparison) -> str:
    if comparison.gain > comparison.min_effect:
        return (
            f"{comparison.samples:,} test samples do not show it: a larger test split would, or a larger difference; "
            "or ask for less with gates.champion.min_effect or confidence"
        )
    worst = min(comparison.slices, key=lambda row: row.gain * row.samples, default=None)
    where = f" (it loses most on class {worst.name})" if worst is not None and worst.gain < 0 else ""
    return f"keep the champion, or train a better one{where}"
