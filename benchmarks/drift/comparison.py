"""Live comparisons of models, looked at after each batch of labels: false promotions, and how soon a gain is found."""

from __future__ import annotations

import numpy as np

from benchmarks.figure import Figure, tell
from components.drift.live_comparison import LiveComparison

NAME = "drift comparison"
ALPHA = 0.05
LOOKS = 100
LABELS = 200  # a look
ACCURACIES = (0.6, 0.9, 0.98)


def measure(comparisons: int) -> list[Figure]:
    """Equal models promoted at any look; naive looks for contrast; true gains."""
    figures = []
    for paired in (True, False):
        kind = "paired" if paired else "canary of 10 %"
        rates = [promoted(comparisons, accuracy, 0.0, paired)[0] for accuracy in ACCURACIES]
        for accuracy, rate in zip(ACCURACIES, rates, strict=True):
            text = f"equal models promoted in {LOOKS} looks, {kind}, accuracy {accuracy:g}"
            figures.append(Figure(NAME, text, round(rate, 4), at_most=ALPHA))
            tell(f"{text}: {rate:.4f}")
    share = float(np.mean([naive(number) for number in range(comparisons)]))
    figures.append(Figure(NAME, f"... paired, accuracy 0.9, a z test of 5 % at each look: {comparisons:,}", share))
    some = max(20, comparisons // 10)
    for gain in (0.02, 0.05):
        share, labels = promoted(some, 0.9, gain, paired=True)
        figures.append(Figure(NAME, f"models better by {gain:g} promoted, paired, {LOOKS * LABELS:,} labels", share))
        figures.append(Figure(NAME, "... labels until then, median", labels))
    return figures


def promoted(comparisons: int, accuracy: float, gain: float, paired: bool, looks: int = LOOKS) -> tuple[float, float]:
    """The share of challengers that are promoted, and the median number of labels until then."""
    found = [run(number, accuracy, gain, paired, looks) for number in range(comparisons)]
    labels = [label for label in found if label is not None]
    return len(labels) / comparisons, float(np.median(labels)) if labels else float("inf")


def run(number: int, accuracy: float, gain: float, paired: bool, looks: int = LOOKS) -> int | None:
    """Labels until the challenger is promoted; None if it never is."""
    rng = np.random.default_rng([number, round(1000 * accuracy), round(1000 * gain), paired])
    state = LiveComparison(alpha=ALPHA, paired=paired, champions=1 if paired else 9, seed=number)
    for look in range(1, looks + 1):
        if paired:
            first, second = _answers(rng, accuracy, gain)
            state = state.update_paired(
                both_right=int((first & second).sum()),
                only_challenger=int((~first & second).sum()),
                only_champion=int((first & ~second).sum()),
                both_wrong=int((~first & ~second).sum()),
            )
        else:
            asked = int(rng.binomial(LABELS, 0.1))
            champion, challenger = (
                int(rng.binomial(LABELS - asked, accuracy)),
                int(rng.binomial(asked, accuracy + gain)),
            )
            state = state.update(
                champion_right=champion,
                champion_wrong=LABELS - asked - champion,
                challenger_right=challenger,
                challenger_wrong=asked - challenger,
            )
        if state.decision != "undecided":
            return look * LABELS if state.decision == "better" else None
    return None


def _answers(rng: np.random.Generator, accuracy: float, gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Both models answer half of the samples by the same draw."""
    fate, own = rng.random(LABELS), rng.random(LABELS)
    second = np.where(rng.random(LABELS) < 0.5, fate, own)
    return fate < accuracy, second < accuracy + gain


def naive(number: int) -> bool:
    """Whether a one-sided z test of the discordant pairs at 5 % ever promotes."""
    rng = np.random.default_rng([number, 7])
    gained = lost = 0
    for _ in range(LOOKS):
        first, second = _answers(rng, 0.9, 0.0)
        gained, lost = gained + int((~first & second).sum()), lost + int((first & ~second).sum())
        if gained + lost > 0 and (gained - lost) / np.sqrt(gained + lost) > 1.645:
            return True
    return False
