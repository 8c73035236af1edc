"""Gate champion: the candidate against what serves, on the same frozen test split."""

from __future__ import annotations

from components.contracts.gate_request import GateRequest, GateResult
from components.contracts.pipeline import ChampionSpec
from components.evaluation.comparison import ChampionComparison, compare
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.gates.scoring import Unfit


def nothing_to_compare(request: GateRequest) -> GateResult | None:
    """The result where there is nothing to compare with."""
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


def judge(
    request: GateRequest, spec: ChampionSpec, candidate: Scored | Unfit, champion: Scored | Unfit, frozen: FrozenSplit
) -> tuple[GateResult, ChampionComparison | None]:
    """Compare the two, answer by answer."""
    metric = spec.metric or next(iter(frozen.task.metrics))
    if metric not in frozen.task.metrics:
        known = ", ".join(frozen.task.metrics)
        reason, next_step = f"{frozen.task.name} has no metric {metric}", f"gates.champion.metric is one of {known}"
        return _refused(f"a {metric}", reason, next_step), None
    higher = frozen.task.metrics[metric].higher_is_better
    for who, scored in (("candidate", candidate), ("champion", champion)):
        if isinstance(scored, Unfit):
            reason = f"the {who} cannot be scored on the test split: {scored.reason}"
            next_step = "run the pipeline on this data, or turn the comparison off (gates.champion: null)"
            return _refused(metric.replace("_", " "), reason, next_step), None
    assert not isinstance(candidate, Unfit)  # noqa: S101  # both, by the loop above
    assert not isinstance(champion, Unfit)  # noqa: S101
    found = compare(
        candidate,
        champion,
        metric,
        higher_is_better=higher,
        min_effect=spec.min_effect,
        confidence=spec.confidence,
    )
    figures: dict[str, float | int | str] = {
        "metric": metric,
        "candidate": found.candidate,
        "champion": found.champion,
        "gain": found.gain,
        "lower_bound": found.lower,
        "upper_bound": found.upper,
        "min_effect": found.min_effect,
        "confidence": found.confidence,
        "samples": found.samples,
    }
    if found.pairs is not None:
        figures |= {
            "candidate_only_right": found.pairs.candidate_only,
            "champion_only_right": found.pairs.champion_only,
        }
    if found.p_value is not None:
        figures["p_value"] = found.p_value
    assert request.champion is not None  # noqa: S101  # nothing_to_compare
    unit = " points" if found.scale == 100 else ""
    reason = (
        f"{metric.replace('_', ' ')} {found.candidate:.4f} against {found.champion:.4f} of version "
        f"{request.champion.version}: {signed(found, found.gain)}{unit}"
        f"{'' if higher else ' (lower is better, so + is a gain)'}, with {spec.confidence:.0%} confidence at least "
        f"{signed(found, found.lower)}; above {found.scale * spec.min_effect:+g} is asked"
    )
    return GateResult(
        gate="champion",
        passed=found.passed,
        figures=figures,
        limit=limit(found),
        reason=reason,
        next_step=None if found.passed else _next_step(found),
    ), found


def limit(found: ChampionComparison) -> str:
    """What is asked for, in words."""
    by = f"{found.scale * abs(found.min_effect):g}{' points' if found.scale == 100 else ''}"
    better, worse = ("above", "below") if found.higher_is_better else ("below", "above")
    asked = (
        f"less than {by} {worse} the champion's"
        if found.min_effect < 0
        else f"more than {by} {better} the champion's"
        if found.min_effect > 0
        else f"{better} the champion's"
    )
    return f"{found.metric.replace('_', ' ')} {asked}, with {found.confidence:.0%} confidence"


def signed(found: ChampionComparison, gain: float) -> str:
    """A gain as it is shown: in points where the metric is a share, else in the metric's own units."""
    return f"{found.scale * gain:+.2f}" if found.scale == 100 else f"{gain:+.4g}"


def _refused(asked: str, reason: str, next_step: str) -> GateResult:
    limit = f"{asked} as good as the champion's"
    return GateResult(gate="champion", passed=False, figures={}, limit=limit, reason=reason, next_step=next_step)


def _next_step(found: ChampionComparison) -> str:
    if found.gain > found.min_effect:
        return (
            f"{found.samples:,} test samples do not show it: a larger test split would, or a larger difference; "
            "or ask for less with gates.champion.min_effect or confidence"
        )
    worst = min(found.slices, key=lambda row: row.gain * row.samples, default=None)
    where = f" (it loses most on class {worst.name})" if worst is not None and worst.gain < 0 else ""
    return f"keep the champion, or train a better one{where}"
