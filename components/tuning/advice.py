"""What to try next, read off the trials of a search."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from components.contracts.tune_report import TrialRow, TuneReport
from components.contracts.tune_spec import Parameter, TuneSpec

EDGE = 0.05  # of a range, on its scale
UNIMPORTANT = 0.02  # share of the variance
LEAST = 12  # complete trials, before a trend is a trend


def sentences(report: TuneReport, spec: TuneSpec) -> list[str]:
    """Advice, the most useful first."""
    if report.best is None:
        return [*_failures(report), "no trial is complete: give the search more time, or trials fewer epochs"]
    best = report.trial(report.best)
    return [
        *_recipe(report, best),
        *_edges(best, spec, set(_unimportant_keys(report))),
        *_trend(report),
        *_unimportant(report),
        *_failures(report),
        *_repeats(report),
    ]


def _recipe(report: TuneReport, best: TrialRow) -> list[str]:
    if not best.settings:
        return ["nothing beats the recipe of the file yet"]
    if not report.recipe:
        return []
    gain = best.values[0] - report.recipe[0]
    if gain == 0:
        return [f"the best trial's {report.metric} equals the recipe's, with fewer parameters or a lower loss"]
    return [
        f"the best trial's {report.metric} is {abs(gain):.4f} {'above' if gain > 0 else 'below'} the recipe's; the "
        "best of many is the luckiest too, so see what is left of that over several seeds: --apply"
    ]


def _edges(best: TrialRow, spec: TuneSpec, unimportant: set[str]) -> list[str]:
    found = []
    for key, value in best.settings.items():
        parameter = None if key in unimportant else spec.space.get(key)
        side = None if parameter is None or parameter.choice is not None else _edge(parameter, value)
        if side:
            found.append(f"{key} is best at its {side} end ({value}): widen its range there")
    return found


def _edge(parameter: Parameter, value: Any) -> str | None:
    low, high = parameter.bounds
    if not isinstance(value, int | float):
        return None
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    share = (value - low) / (high - low)
    if parameter.int is not None:
        return "lower" if value == low else "upper" if value == high else None
    return "lower" if share <= EDGE and parameter.bounds[0] != 0 else "upper" if share >= 1 - EDGE else None


def _trend(report: TuneReport) -> list[str]:
    ordered = [trial for trial in report.trials if trial.state == "complete"]
    if len(ordered) < LEAST:
        return [f"{len(ordered)} complete trials are few: the ranking will change"]
    last = ordered[-len(ordered) // 4 :]
    if report.best in {trial.number for trial in last}:
        return ["the last quarter of the trials found the best: more trials are likely to find better"]
    if report.best in {trial.number for trial in ordered[: len(ordered) // 3]}:
        return ["the last two thirds of the trials found nothing better: more trials will bring little here"]
    return []


def _unimportant(report: TuneReport) -> list[str]:
    small = _unimportant_keys(report)
    if not small:
        return []
    return [f"{', '.join(small)} made hardly a difference: leave that as it is and search the rest"]


def _unimportant_keys(report: TuneReport) -> list[str]:
    small = [key for key, share in report.importances.items() if share < UNIMPORTANT]
    return [] if len(small) == len(report.importances) else small


def _failures(report: TuneReport) -> list[str]:
    failed = [trial.note.partition("; ")[0] for trial in report.trials if trial.state == "failed"]
    if not failed:
        return []
    reason, count = Counter(failed).most_common(1)[0]
    return [f"{len(failed)} of {len(report.trials)} trials failed, {count} of them so: {reason}"]


def _repeats(report: TuneReport) -> list[str]:
    repeats = sum(trial.note.startswith("as trial") for trial in report.trials)
    if repeats * 3 < len(report.trials):
        return []
    return [f"{repeats} of {len(report.trials)} trials repeat others: the space is small, and nearly searched"]
