"""Scores of translation: BLEU and chrF, equal to sacrebleu's.

Legend: N sentences, R resamples.
Papineni et al. 2002, aclanthology.org/P02-1040; Popović 2015, aclanthology.org/W15-3049;
Post 2018, aclanthology.org/W18-6319.
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

BATCH = 32
ORDERS = 4  # n-grams of words, of BLEU
CHARACTERS = 6  # n-grams of characters, of chrF
BETA = 2
EXAMPLES = 8


class TranslationReferences(Protocol):
    """A processor of translation."""

    def references(self, batch: Arrays) -> list[str]:
        """The target texts, of `target_text` (N, bytes) with its lengths: as the data has them, not cut."""

    def sources(self, batch: Arrays) -> list[str]:
        """The source texts, of `source_text`."""


class Sentence(NamedTuple):
    """An example: source, predicted translation, reference."""

    source: str
    answer: str
    reference: str


class NgramView(NamedTuple):
    """Sums: words of predictions and of references; correct (4) and predicted (4) n-grams of words; then predicted,
    true and correct n-grams of characters for each order (6 * 3)."""

    examples: tuple[Sentence, ...]

    def bleu(self, total: Real) -> Real:
        """BLEU (R,) in 0..100; an order without a correct n-gram is smoothed (`exp`, sacrebleu's default)."""
        predicted, reference = total[..., 0], total[..., 1]
        correct, whole = total[..., 2 : 2 + ORDERS], total[..., 2 + ORDERS : 2 + 2 * ORDERS]
        halvings = np.cumsum((correct == 0) & (whole > 0), axis=-1)
        precision = np.where(correct > 0, share(correct, whole), share(np.ones_like(whole), 2.0**halvings * whole))
        with np.errstate(divide="ignore"):
            mean = np.log(precision).mean(axis=-1)
        brevity = np.where(predicted < reference, 1 - reference / np.maximum(predicted, 1e-9), 0.0)
        scores = 100 * np.exp(mean + brevity)
        return np.where((correct.sum(axis=-1) > 0) & (whole > 0).all(axis=-1), scores, 0.0)

    def chrf(self, total: Real) -> Real:
        """chrF2 (R,) in 0..100."""
        counts = total[..., 2 + 2 * ORDERS :].reshape(*total.shape[:-1], CHARACTERS, 3)
        predicted, reference, correct = np.moveaxis(counts, -1, 0)
        both = (predicted > 0) & (reference > 0)
        orders = both.sum(axis=-1)
        precision = share((share(correct, predicted) * both).sum(axis=-1), orders)
        recall = share((share(correct, reference) * both).sum(axis=-1), orders)
        return 100 * share((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)

    def slices(self, total: Real) -> list[Slice]:
        """No slices."""
        return []

    def document(self, total: Real) -> dict[str, Any]:
        """Precision of each order, ratio of lengths, a few examples."""
        correct, whole = total[2 : 2 + ORDERS], total[2 + ORDERS : 2 + 2 * ORDERS]
        precisions = share(correct, whole).tolist()
        return {
            "ngrams": [{"order": order + 1, "precision": value} for order, value in enumerate(precisions)],
            "length_ratio": float(total[0] / max(total[1], 1)),
            "examples": [sentence._asdict() for sentence in self.examples],
        }

    def draw(self, total: Real, folder: Path) -> None:
        """Precision of each order."""
        from components.evaluation.task_plots import draw_ngrams

        draw_ngrams([row["precision"] for row in self.document(total)["ngrams"]], folder / "ngrams.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """A few examples."""
        lines = ["| source | answer | reference |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, sentence))} |" for sentence in self.examples]
        ratio = self.document(total)["length_ratio"]
        return CardLines(lines, [f"- Answers are {ratio:.2f} times as long as references (in words)."])


class TranslationScorer(NamedTuple):
    """The scorer: predicts as the service, with the task's beam search, and uses `text` of each prediction."""

    truth: tuple[str, ...] | None = ("target", "source_text", "target_text")

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """The references are the target texts of the data, also what `max_length` or the vocabulary cuts off."""
        frozen.require("source_text", "target_text")
        processor = cast(TranslationReferences, frozen.processor)
        translations, references = [""] * len(frozen), [""] * len(frozen)
        not_finite = 0
        for index, _, predictions in batched_prediction.predictions(predictor, frozen.split, step, BATCH, ("source",)):
            texts = processor.references(frozen.split.batch(index, ("target_text",)))
            for number, prediction, text in zip(index, predictions, texts, strict=True):
                not_finite += prediction is None
                translations[number] = "" if prediction is None else str(prediction["text"])
                references[number] = text
        view = NgramView(self._examples(frozen, translations, references))
        metrics = {"bleu": view.bleu, "chrf": view.chrf}
        return AdditiveScores(self.of_sentences(translations, references), metrics, view, not_finite)

    def of_sentences(self, answers: Sequence[str], references: Sequence[str]) -> Real:
        """Summands of each sentence, (N, S)."""
        # sacrebleu's public functions give scores, but not the counts that a resample needs.
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        words = BLEU(force=True)._extract_corpus_statistics(list(answers), [list(references)])
        characters = CHRF(char_order=CHARACTERS, beta=BETA)._extract_corpus_statistics(
            list(answers), [list(references)]
        )
        return np.concatenate([np.array(words, np.float64), np.array(characters, np.float64)], axis=1)

    def _examples(self, frozen: FrozenSplit, translations: list[str], references: list[str]) -> tuple[Sentence, ...]:
        """A few examples, spread over the whole split."""
        positions = np.unique(np.linspace(0, len(translations) - 1, EXAMPLES).round().astype(np.int64))
        processor = cast(TranslationReferences, frozen.processor)
        texts = processor.sources(frozen.split.batch(positions, ("source_text",)))
        return tuple(
            Sentence(text, translations[position], references[position])
            for text, position in zip(texts, positions, strict=True)
        )


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table: one line, without bars."""
    return " ".join(text.replace("|", "/").split())


SCORER = TranslationScorer()
