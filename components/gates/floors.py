"""Gate floors: compare the metrics on the frozen test split, overall and in every slice, with their floors."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import FloorSpec
from components.evaluation import gates
from components.evaluation.scorer import Scored
from components.gates.scoring import ScoringFailure

NEXT_STEP = "train longer or otherwise, mend the data, or lower the floor in the pipeline's gates"

MOST_NAMED = 6


class Floor(NamedTuple):
    """A metric's value and its floor.

    Args:
        slice_name: `overall`, or the class.
        samples: number of samples in the slice.
    """

    metric: str
    slice_name: str
    samples: int
    figure: float
    floor: FloorSpec

    @property
    def met(self) -> bool:
        """Whether the figure reaches its floor; False for NaN."""
        return self.floor.met(self.figure)

    @property
    def limit(self) -> str:
        """The floor as text."""
        return f"≥ {self.floor.min:.4f}" if self.floor.min is not None else f"≤ {self.floor.max:.4f}"

    @property
    def margin(self) -> float:
        """Distance of the figure from its floor; negative if the floor is missed."""
        return self.figure - self.floor.min if self.floor.min is not None else (self.floor.max or 0.0) - self.figure


def check(scored: Scored | ScoringFailure, floors: dict[str, FloorSpec]) -> tuple[GateResult, list[Floor]]:
    """Compare the metrics with the floors of the pipeline; the missed floors come first."""
    limit = "; ".join(_limit(metric, floor) for metric, floor in floors.items())
    if isinstance(scored, ScoringFailure):
        reason = f"it cannot be scored on the test split: {scored.reason}"
        refused = GateResult(gate="floors", passed=False, figures={}, limit=limit, reason=reason, next_step=NEXT_STEP)
        return refused, []
    rows = _rows(scored, floors)
    missed = [row for row in rows if not row.met]
    figures: dict[str, float | int | str] = {row.metric: row.figure for row in rows if row.slice_name == "overall"}
    figures["samples"] = scored.samples
    in_slices = [row for row in rows if row.slice_name != "overall"]
    if in_slices:
        weakest = min(in_slices, key=lambda row: row.figure)
        figures |= {"weakest_class": weakest.slice_name, f"weakest_class_{weakest.metric}": weakest.figure}
    if scored.not_finite:
        figures["not_finite"] = scored.not_finite
    problems = [gates.missed(f"{row.metric}{_where(row)}", row.figure, row.floor) for row in missed[:MOST_NAMED]]
    if len(missed) > MOST_NAMED:
        problems.append(f"and {len(missed) - MOST_NAMED:,} more")
    if scored.not_finite:
        problems.insert(0, f"{scored.not_finite:,} of {scored.samples:,} answers are not finite (NaN or infinity)")
    return GateResult(
        gate="floors",
        passed=not problems,
        figures=figures,
        limit=limit or "finite answers",
        reason="; ".join(problems) or f"every figure on {scored.samples:,} test samples reaches its floor",
        next_step=NEXT_STEP if problems else None,
    ), sorted(rows, key=lambda row: (row.met, row.slice_name != "overall", row.margin))


def _limit(metric: str, floor: FloorSpec) -> str:
    if floor.min is None:
        return f"{metric} at most {floor.max:g}"
    in_slices = "" if floor.slice_min is None else f", {floor.slice_min:g} in every class"
    return f"{metric} at least {floor.min:g}{in_slices}"


def _rows(scored: Scored, floors: dict[str, FloorSpec]) -> list[Floor]:
    overall = scored.figures()
    rows = []
    for metric, floor in floors.items():
        rows.append(Floor(metric, "overall", scored.samples, gates.figure_of(overall, metric), floor))
        if floor.slice_min is not None:
            slice_floor = FloorSpec(min=floor.slice_min)
            for part in scored.slices():
                if metric in part.figures:
                    rows.append(Floor(metric, part.name, part.samples, part.figures[metric], slice_floor))
    return rows


def _where(row: Floor) -> str:
    return "" if row.slice_name == "overall" else f" of class {row.slice_name}"
