"""Gate floors: the metrics on the frozen test split, overall and in every class."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import FloorSpec
from components.evaluation.metrics import accuracy, class_figures, confusion_matrix, macro_f1
from components.gates.scoring import FrozenSplit, Scored, Unfit

NEXT_STEP = "train longer or otherwise, mend the data, or lower the floor in the pipeline's gates"

MOST_NAMED = 6


class Floor(NamedTuple):
    """One figure and the least that is asked of it; `place` is `overall` or a class."""

    metric: str
    place: str
    samples: int
    figure: float
    least: float

    @property
    def met(self) -> bool:
        """Whether the figure reaches its floor; what is no number does not."""
        return self.figure >= self.least


def judge(scored: Scored | Unfit, split: FrozenSplit, floors: dict[str, FloorSpec]) -> tuple[GateResult, list[Floor]]:
    """Hold figures scored afresh against the pipeline's floors; the weakest rows first."""
    limit = "; ".join(
        f"{metric} at least {floor.min:g}" + (f", {floor.slice_min:g} in every class" if floor.slice_min else "")
        for metric, floor in floors.items()
    )
    if isinstance(scored, Unfit):
        reason = f"it cannot be scored on the test split: {scored.reason}"
        refused = GateResult(gate="floors", passed=False, figures={}, limit=limit, reason=reason, next_step=NEXT_STEP)
        return refused, []
    rows = _rows(scored, split, floors)
    missed = [row for row in rows if not row.met]
    figures: dict[str, float | int | str] = {row.metric: row.figure for row in rows if row.place == "overall"}
    figures["samples"] = len(split.truth)
    in_classes = [row for row in rows if row.place != "overall"]
    if in_classes:
        weakest = min(in_classes, key=lambda row: row.figure)
        figures |= {"weakest_class": weakest.place, f"weakest_class_{weakest.metric}": weakest.figure}
    if scored.not_finite:
        figures["not_finite"] = scored.not_finite
    problems = [f"{row.metric} {_where(row)}{row.figure:.4f} < {row.least:.4f}" for row in missed[:MOST_NAMED]]
    if len(missed) > MOST_NAMED:
        problems.append(f"and {len(missed) - MOST_NAMED:,} more")
    if scored.not_finite:
        problems.insert(0, f"{scored.not_finite:,} of {len(split.truth):,} answers are not finite (NaN or infinity)")
    return GateResult(
        gate="floors",
        passed=not problems,
        figures=figures,
        limit=limit or "finite answers",
        reason="; ".join(problems) or f"every figure on {len(split.truth):,} test samples is at or above its floor",
        next_step=NEXT_STEP if problems else None,
    ), sorted(rows, key=lambda row: (row.met, row.place != "overall", row.figure))


def _rows(scored: Scored, split: FrozenSplit, floors: dict[str, FloorSpec]) -> list[Floor]:
    confusion = confusion_matrix(split.truth, scored.answers, len(split.classes) + 1)
    overall = {"accuracy": accuracy(confusion), "macro_f1": macro_f1(confusion)}
    classes = list(zip(split.classes, class_figures(confusion), strict=False))
    rows = []
    for metric, floor in floors.items():
        rows.append(Floor(metric, "overall", len(split.truth), overall[metric], floor.min))
        if floor.slice_min is not None:
            for name, figures in classes:
                if figures.support:
                    value = figures.recall if metric == "accuracy" else figures.f1
                    rows.append(Floor(metric, name, figures.support, value, floor.slice_min))
    return rows


def _where(row: Floor) -> str:
    return "" if row.place == "overall" else f"of class {row.place} "
