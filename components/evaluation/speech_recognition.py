"""Scores of speech recognition: word and character error rates, counted by jiwer (Morris et al. 2004).

Legend: N sounds, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.scorer import Arrays, CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit

BATCH = 16
EXAMPLES = 8
KINDS = ("wrong", "missing", "added")  # substitutions, deletions, insertions


class SpokenTexts(Protocol):
    """A processor of speech recognition."""

    def references(self, batch: Arrays) -> list[str]:
        """The true texts, of `text` (N, bytes) with its lengths."""


class Transcript(NamedTuple):
    """An example: what was said, and what was written."""

    reference: str
    answer: str


class ErrorRateView(NamedTuple):
    """Sums: wrong, missing, added and all words that were said; the same of characters; sounds without any error."""

    examples: tuple[Transcript, ...]

    def wer(self, total: Real) -> Real:
        """Word error rate (R,): edits for each word that was said; above 1 where many are added."""
        return share(total[..., 0:3].sum(axis=-1), total[..., 3])

    def cer(self, total: Real) -> Real:
        """Character error rate (R,)."""
        return share(total[..., 4:7].sum(axis=-1), total[..., 7])

    def slices(self, total: Real) -> list[Slice]:
        """No slices."""
        return []

    def document(self, total: Real) -> dict[str, Any]:
        """Kinds of errors, sounds without one, a few examples."""
        shares = share(total[0:3], np.full(3, total[3])).tolist()
        return {
            "word_errors": [{"kind": kind, "rate": value} for kind, value in zip(KINDS, shares, strict=True)],
            "without_error": int(total[8]),
            "examples": [example._asdict() for example in self.examples],
        }

    def draw(self, total: Real, folder: Path) -> None:
        """Rate of each kind of error."""
        from components.evaluation.task_plots import draw_word_errors

        rates = [row["rate"] for row in self.document(total)["word_errors"]]
        draw_word_errors(list(zip(KINDS, rates, strict=True)), folder / "word_errors.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """A few examples."""
        lines = ["| said | written |", "|---|---|"]
        lines += [
            f"| {' | '.join(' '.join(text.replace('|', '/').split()) for text in one)} |" for one in self.examples
        ]
        said = f"- {int(total[8])} of {samples} sounds are written without an error in any word."
        return CardLines(lines, [said, "- Words are compared as they are written: case and punctuation count."])


class SpeechScorer(NamedTuple):
    """The scorer: predicts as the service, and uses `text` of each prediction."""

    truth: tuple[str, ...] | None = ("target", "text")

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """The references are the texts of the data."""
        frozen.require("text")
        processor = cast(SpokenTexts, frozen.processor)
        answers, references = [""] * len(frozen), [""] * len(frozen)
        not_finite = 0
        for index, _, predictions in batched_prediction.predictions(predictor, frozen.split, step, BATCH, ("series",)):
            texts = processor.references(frozen.split.batch(index, ("text",)))
            for number, prediction, text in zip(index, predictions, texts, strict=True):
                not_finite += prediction is None
                answers[number] = "" if prediction is None else str(prediction["text"])
                references[number] = text
        places = np.unique(np.linspace(0, len(answers) - 1, EXAMPLES).round().astype(np.int64))
        view = ErrorRateView(tuple(Transcript(references[place], answers[place]) for place in places))
        return AdditiveScores(error_counts(references, answers), {"wer": view.wer, "cer": view.cer}, view, not_finite)


def error_counts(references: Sequence[str], answers: Sequence[str]) -> Real:
    """Summands of each sound, (N, 9): see `ErrorRateView`."""
    import jiwer

    rows = []
    for reference, answer in zip(references, answers, strict=True):
        words, characters = jiwer.process_words(reference, answer), jiwer.process_characters(reference, answer)
        rows.append([*_counts(words), *_counts(characters), float(words.wer == 0)])
    return np.asarray(rows, np.float64).reshape(len(rows), 9)


def _counts(found: Any) -> list[int]:
    """Wrong, missing, added, and all that was said, of jiwer's output."""
    said = found.hits + found.substitutions + found.deletions
    return [found.substitutions, found.deletions, found.insertions, said]


SCORER = SpeechScorer()
