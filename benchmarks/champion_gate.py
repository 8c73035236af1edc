"""How often the champion gate promotes a candidate that is no better, and one that is.

Simulated pairs of models: a share of the samples is decided by the same draw for both (models make the same mistakes),
the rest by draws of their own. A/A: the candidate's true accuracy is the champion's plus `min_effect`, so each
promotion is a false one, and no more than alpha = 0.05 of them may be. Power: the candidate truly is better by so much.

    python -m benchmarks.champion_gate [--candidates 1000] [--picture docs/champion-gate-power.svg]
"""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.random import Generator

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.evaluation import paired_bootstrap, paired_proportions
from components.evaluation.metrics import Labels

NAME = "champion_gate"
ALPHA = 0.05
CLASSES = 10
RESAMPLES = 1_000


class Setting(NamedTuple):
    """A champion's true accuracy on so many samples, and the share of samples that both models decide alike."""

    samples: int
    accuracy: float
    alike: float


SETTINGS = [Setting(n, accuracy, alike) for n in (360, 2_000) for accuracy, alike in ((0.93, 0.0), (0.98, 0.9))]
SETTINGS.append(Setting(10_000, 0.98, 0.9))
EFFECTS = (0.0, -0.01, -0.02)
GAINS = (-0.02, -0.015, -0.01, -0.005, 0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04)


def measure(candidates: int = 1_000, picture: str = "") -> list[Figure]:
    """False promotions at each setting and effect, and the power curve."""
    figures = []
    for effect in EFFECTS:
        for setting in SETTINGS:
            rate = promotions("accuracy", setting, effect, effect, candidates)
            figures.append(_rate(f"accuracy, {_words(setting)}, effect {effect:+g}", rate, candidates))
        tell(f"A/A of accuracy at min_effect {effect:+g} done")
    some = max(500, candidates // 2)
    for effect in EFFECTS[:2]:
        for setting in (SETTINGS[0], SETTINGS[1]):
            rate = promotions("macro_f1", setting, effect, effect, some)
            figures.append(_rate(f"macro F1, {_words(setting)}, effect {effect:+g}", rate, some))
        tell(f"A/A of macro F1 at min_effect {effect:+g} done")
    curves = {
        (samples, effect): [promotions("accuracy", Setting(samples, 0.95, 0.8), gain, effect, some) for gain in GAINS]
        for samples in (360, 2_000, 10_000)
        for effect in (0.0, -0.01)
    }
    for (samples, effect), rates in curves.items():
        for gain, rate in zip(GAINS, rates, strict=True):
            if gain in (0.0, 0.01, 0.02):
                what = f"promoted at N={samples:,}, min_effect {effect:+g}, true gain {gain:+g}"
                figures.append(Figure(NAME, what, round(rate, 3)))
    if picture:
        draw(curves, Path(picture))
    return figures


def promotions(
    metric: Literal["accuracy", "macro_f1"], setting: Setting, gain: float, min_effect: float, candidates: int
) -> float:
    """The share of simulated candidates that pass, each truly better by `gain`; seeded by what is asked."""
    random = np.random.default_rng(
        [setting.samples, round(1e4 * setting.accuracy), round(1e4 * (1 + gain)), candidates]
    )
    passed = 0
    for number in range(candidates):
        truth, candidate, champion = answers(random, setting, gain)
        if metric == "accuracy":
            first, second = candidate == truth, champion == truth
            b, c = int((first & ~second).sum()), int((~first & second).sum())
            passed += _p_value(b, c, setting.samples, min_effect) <= ALPHA
        else:
            bounds = paired_bootstrap.macro_f1_interval(
                truth, candidate, champion, CLASSES, 1 - ALPHA, resamples=RESAMPLES, seed=number
            )
            passed += bounds.lower > min_effect
    return passed / candidates


def answers(random: Generator, setting: Setting, gain: float) -> tuple[Labels, Labels, Labels]:
    """Truth and both models' answers, (N,) each."""
    n = setting.samples
    truth = random.integers(0, CLASSES, n)
    mistaken = (truth + random.integers(1, CLASSES, n)) % CLASSES
    fate = random.random(n)
    own = np.where(random.random(n) < setting.alike, fate, random.random(n))
    champion = np.where(fate < setting.accuracy, truth, mistaken)
    candidate = np.where(own < setting.accuracy + gain, truth, mistaken)
    return truth, candidate, champion


def most_by_chance(candidates: int) -> float:
    """What a true rate of alpha stays below in 99 of 100 simulations."""
    return ALPHA + 2.326 * math.sqrt(ALPHA * (1 - ALPHA) / candidates)


def draw(curves: dict[tuple[int, float], list[float]], path: Path) -> None:
    """True gain against the share that is promoted."""
    drawing = Drawing(figsize=(7.2, 4.0), layout="constrained")
    axes = drawing.add_subplot()
    colours = {360: "#9aa5b1", 2_000: "#2f6fab", 10_000: "#22313f"}
    for (samples, effect), rates in curves.items():
        style = "-" if effect == 0 else "--"
        label = f"{samples:,} test samples, min_effect {effect:+g}"
        axes.plot([100 * gain for gain in GAINS], rates, style, color=colours[samples], marker=".", label=label)
    axes.axhline(ALPHA, color="#c0352b", linewidth=1, linestyle=":")
    axes.set_xlabel("true gain in accuracy, points")
    axes.set_ylabel("share promoted")
    axes.set_title("Champion gate: who is promoted", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e8ecf0")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, metadata={"Date": None, "Creator": None})


@cache
def _p_value(b: int, c: int, n: int, margin: float) -> float:
    return paired_proportions.p_value(b, c, n, margin)


def _rate(what: str, rate: float, candidates: int) -> Figure:
    return Figure(NAME, f"false promotions: {what}", round(rate, 4), at_most=round(most_by_chance(candidates), 4))


def _words(setting: Setting) -> str:
    return f"N={setting.samples:,}, true {setting.accuracy:g}, {setting.alike:.0%} alike"


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--candidates", type=int, default=1_000)
    options.add_argument("--picture", default="", metavar="FILE", help="draw the power curve")
    sys.exit(figure.command(measure, options))
