"""Gate champion: the candidate against what serves, on the same frozen test split."""

from __future__ import annotations

from components.contracts.gate_request import GateRequest, GateResult
from components.contracts.pipeline import ChampionSpec
from components.evaluation.comparison import Comparison, compare
from components.gates.scoring import FrozenSplit, Scored, Unfit


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
    return GateResult(gate="champion", passed=True, figures={}, limit=limit(request.gates.champion), reason=reason)


def judge(
    request: GateRequest, spec: ChampionSpec, candidate: Scored | Unfit, champion: Scored | Unfit, split: FrozenSplit
) -> tuple[GateResult, Comparison | None]:
    """Compare the two, answer by answer."""
    for who, scored in (("candidate", candidate), ("champion", champion)):
        if isinstance(scored, Unfit):
            return GateResult(
                gate="champion",
                passed=False,
                figures={},
                limit=limit(spec),
                reason=f"the {who} cannot be scored on the test split: {scored.reason}",
                next_step="run the pipeline on this data, or turn the comparison off (gates.champion: null)",
            ), None
    assert isinstance(candidate, Scored)  # noqa: S101  # both, by the loop above
    assert isinstance(champion, Scored)  # noqa: S101
    found = compare(
        split.truth,
        candidate.answers,
        champion.answers,
        split.classes,
        metric=spec.metric,
        min_effect=spec.min_effect,
        confidence=spec.confidence,
    )
    figures: dict[str, float | int | str] = {
        "candidate": found.candidate,
        "champion": found.champion,
        "difference": found.difference,
        "lower_bound": found.lower,
        "upper_bound": found.upper,
        "min_effect": found.min_effect,
        "confidence": found.confidence,
        "samples": found.samples,
        "candidate_only_right": found.pairs.candidate_only,
        "champion_only_right": found.pairs.champion_only,
    }
    if found.p_value is not None:
        figures["p_value"] = found.p_value
    assert request.champion is not None  # noqa: S101  # nothing_to_compare
    reason = (
        f"{_named(spec)} {found.candidate:.4f} against {found.champion:.4f} of version {request.champion.version}: "
        f"{100 * found.difference:+.2f} points, with {spec.confidence:.0%} confidence at least "
        f"{100 * found.lower:+.2f}; above {100 * spec.min_effect:+g} is asked"
    )
    return GateResult(
        gate="champion",
        passed=found.passed,
        figures=figures,
        limit=limit(spec),
        reason=reason,
        next_step=None if found.passed else _next_step(found),
    ), found


def limit(spec: ChampionSpec | None) -> str:
    """What is asked for, in words."""
    if spec is None:
        return "no comparison"
    points = f"{100 * abs(spec.min_effect):g} points"
    asked = (
        f"less than {points} below the champion's"
        if spec.min_effect < 0
        else f"more than {points} above the champion's"
        if spec.min_effect > 0
        else "above the champion's"
    )
    return f"{_named(spec)} {asked}, with {spec.confidence:.0%} confidence"


def _named(spec: ChampionSpec) -> str:
    return spec.metric.replace("_", " ")


def _next_step(found: Comparison) -> str:
    if found.difference > found.min_effect:
        return (
            f"{found.samples:,} test samples do not show it: a larger test split would, or a larger difference; "
            "or ask for less with gates.champion.min_effect or confidence"
        )
    weaker = [row for row in found.per_class if row.candidate < row.champion]
    worst = max(weaker, key=lambda row: (row.champion - row.candidate) * row.samples, default=None)
    where = f" (it loses most on class {worst.name})" if worst else ""
    return f"keep the champion, or train a better one{where}"
