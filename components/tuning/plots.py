"""The pictures of a study, drawn by Optuna with matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.study import Study
from optuna.trial import TrialState
from optuna.visualization import matplotlib as optuna_plots

mpl.use("agg")

DOTS_PER_INCH = 110
WIDTH = 10.4  # inches
MOST_SLICES = 8
MOST_FRONT = 3  # objectives that can be drawn


def draw(
    study: Study,
    metric: str,
    objectives: list[str],
    importances: dict[str, float],
    folder: Path,
    notes: list[str],
) -> dict[str, str]:
    """Write the pictures that the study has enough trials for; returns their names and what they show.

    Args:
        notes: what could not be drawn is added, with the reason.
    """
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    pictures: dict[str, str] = {}
    if not complete:
        notes.append("nothing to draw: no trial is complete")
        return pictures
    keys = [key for key in _shared(complete) if len({str(trial.params[key]) for trial in complete}) > 1]
    # With one objective Optuna knows the direction by itself, and draws the better trials darker.
    first: dict[str, Any] = (
        {} if len(study.directions) == 1 else {"target": lambda trial: trial.values[0], "target_name": metric}
    )
    wanted: list[tuple[str, str, float, Callable[[], Any]]] = [
        ("history", "Optimisation history", 4.2, lambda: optuna_plots.plot_optimization_history(study, **first))
    ]
    if len(study.directions) == 1 and any(trial.intermediate_values for trial in complete):
        wanted.append(
            ("epochs", f"{metric} after each epoch", 4.2, lambda: optuna_plots.plot_intermediate_values(study))
        )
    if importances:
        wanted.append(("importances", "Importances (fANOVA)", 3.2, lambda: _bars(importances, metric)))
    if keys and len(complete) > 1:
        wanted.append(
            ("parallel", "Parallel coordinates", 4.6,
             lambda: optuna_plots.plot_parallel_coordinate(study, params=keys, **first))
        )  # fmt: skip
        slices = sorted(keys, key=lambda key: -importances.get(key, 0.0))[:MOST_SLICES]
        wanted.append(("slices", "Slices", 3.6, lambda: optuna_plots.plot_slice(study, params=slices, **first)))
    if 1 < len(objectives) <= MOST_FRONT:
        names = [metric, *objectives[1:]]
        wanted.append(("front", "Pareto front", 4.6, lambda: optuna_plots.plot_pareto_front(study, target_names=names)))
    for name, title, height, make in wanted:
        try:
            figure = _figure(make())
        except (ValueError, RuntimeError, KeyError, TypeError, IndexError) as error:
            notes.append(f"{title} could not be drawn: {error}")
            continue
        width = max(WIDTH, 2.6 * len(keys)) if name == "slices" else WIDTH
        figure.set_size_inches(width, height)
        _label(figure, name, metric)
        figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
        pyplot.close(figure)
        pictures[f"{name}.png"] = title
    return pictures


def _label(figure: Figure, name: str, metric: str) -> None:
    """The metric's name in place of Optuna's general words; the page has the titles."""
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("")
        if axes.get_ylabel() in ("Objective Value", "Intermediate Value"):
            axes.set_ylabel(metric)
        if name == "epochs":
            axes.set_xlabel("epoch")
        if name in ("epochs", "history") and (legend := axes.get_legend()) is not None:
            legend.remove()  # a line for each trial would hide the plot


def _shared(complete: list[Any]) -> list[str]:
    """Keys that every complete trial has."""
    shared = set.intersection(*({*trial.params} for trial in complete))
    return sorted(shared)


def _bars(importances: dict[str, float], metric: str) -> Figure:
    figure, axes = pyplot.subplots()
    names = list(reversed(importances))
    axes.barh(names, [importances[name] for name in names], color="#3b6ea5")
    axes.set_xlabel(f"share of the variance of {metric}")
    axes.set_xlim(0, 1)
    for position, name in enumerate(names):
        axes.text(importances[name] + 0.01, position, f"{importances[name]:.2f}", va="center")
    return figure


def _figure(drawn: Any) -> Figure:
    """The figure of what a plotting function returned: a figure, axes, or an array of axes."""
    if isinstance(drawn, Figure):
        return drawn
    axes = np.asarray(drawn, dtype=object).ravel()[0]
    figure = axes.get_figure()
    assert isinstance(figure, Figure)  # noqa: S101  # not a figure within another
    return figure
