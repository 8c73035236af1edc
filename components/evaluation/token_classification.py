"""Scores of token classification: whole entities, correct if words and label are the same.

Legend: N samples, T tokens, E entity labels, R resamples.
Tjong Kim Sang and Buchholz 2000, aclanthology.org/W00-0726.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.calibration import before_and_after, card_line, confidence_error, uncalibrated
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice, temperature_of
from components.evaluation.test_split import FrozenSplit
from components.preprocessing import spans

BATCH = 64


class EntityView(NamedTuple):
    """Sums: correct, predicted and true entities of each label (3 * E), then correct and all words.

    Args:
        names: the labels.
        calibration: calibration error of the tags of words before and after the calibration; None without calibration.
        unread_samples, unread_words, unread_entities: what the network does not read, since it is past `max_length`:
            words, the entities that have one of them, the samples of these words. All of them count as missed.
    """

    names: tuple[str, ...]
    calibration: dict[str, float] | None = None
    unread_samples: int = 0
    unread_words: int = 0
    unread_entities: int = 0

    def counts(self, total: Real) -> Real:
        """(..., E, 3) of sums (..., S)."""
        return total[..., : 3 * len(self.names)].reshape(*total.shape[:-1], len(self.names), 3)

    def precision(self, total: Real) -> Real:
        """(R,), over all labels."""
        correct, predicted, _ = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(correct, predicted)

    def recall(self, total: Real) -> Real:
        """(R,), over all labels."""
        correct, _, true = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(correct, true)

    def f1(self, total: Real) -> Real:
        """(R,), over all labels."""
        correct, predicted, true = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(2 * correct, predicted + true)

    def token_accuracy(self, total: Real) -> Real:
        """Share of words with the correct tag (R,)."""
        return share(total[..., -2], total[..., -1])

    def slices(self, total: Real) -> list[Slice]:
        """Each label with true entities."""
        return [
            Slice(
                row["type"],
                row["support"],
                {"entity_f1": row["f1"], "entity_precision": row["precision"], "entity_recall": row["recall"]},
            )
            for row in self._rows(total)
            if row["support"]
        ]

    def document(self, total: Real) -> dict[str, Any]:
        """Figures of each label, and what the network does not read."""
        unread = {"samples": self.unread_samples, "words": self.unread_words, "entities": self.unread_entities}
        calibration = {} if self.calibration is None else {"calibration": self.calibration}
        return {"per_type": self._rows(total), "past_max_length": unread, **calibration}

    def draw(self, total: Real, folder: Path) -> None:
        """Precision and recall of each label."""
        from components.evaluation.task_plots import draw_entities

        rows = [(row["type"], row["precision"], row["recall"], row["support"]) for row in self._rows(total)]
        draw_entities(rows, folder / "entities.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """A table of the labels, and the weakest label."""
        rows = self._rows(total)
        lines = ["| kind | precision | recall | F1 | entities |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['type']} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']:,} |"
            for row in rows
        ]
        if self.calibration is not None:
            lines += ["", card_line(self.calibration)]
        weakest = min((row for row in rows if row["support"]), key=lambda row: row["f1"], default=None)
        limits = [f"- Weakest kind: {weakest['type']}, F1 {weakest['f1']:.4f}."] if weakest else []
        if self.unread_words:
            limits.append(
                f"- {self.unread_words:,} of {int(total[-1]):,} words, in {self.unread_samples:,} samples, are past"
                f" `max_length` and are not read; their {self.unread_entities:,} entities count as missed."
            )
        return CardLines(lines, limits)

    def _rows(self, total: Real) -> list[dict[str, Any]]:
        rows = []
        for name, (correct, predicted, true) in zip(self.names, self.counts(total), strict=True):
            precision, recall, f1 = (
                float(share(part, whole))
                for part, whole in ((correct, predicted), (correct, true), (2 * correct, predicted + true))
            )
            rows.append({"type": name, "precision": precision, "recall": recall, "f1": f1, "support": int(true)})
        return rows


class TokenClassificationScorer(NamedTuple):
    """The scorer: graph `model` gives `probabilities` (N, T, K).

    `word_tags` (N, W) has the true tag of every word of the sample, `word_tokens` (N, W) the place of its first token,
    or -1 for a word past `max_length`. Such a word is in no predicted entity, as in the service.
    """

    truth: tuple[str, ...] | None = ("word_tags",)

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Tags are matched by name. A sample that is not finite counts as without entities and correct words."""
        frozen.require("word_tags", "word_tokens")
        names = predictor.signature.classes
        view = EntityView(tuple(sorted({tag[2:] for tag in [*frozen.classes, *names] if tag != spans.OUTSIDE})))
        summands = np.zeros((len(frozen), 3 * len(view.names) + 2))
        temperature, confidences = temperature_of(predictor), _Confidences([], [], [])
        not_finite, unread = 0, np.zeros(3, np.int64)  # of samples, words, entities
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step, BATCH):
            tag_numbers = outputs["probabilities"].argmax(axis=-1)  # (B, T)
            is_word = batch["tags"] != spans.IGNORED  # (B, T)
            finite = batched_prediction.finite(np.where(is_word[..., None], outputs["probabilities"], 0))
            not_finite += int(np.count_nonzero(~finite))
            batch |= frozen.split.batch(index, ("word_tags", "word_tokens"))
            for row, number in enumerate(index):
                words = batch["word_tags_lengths"][row]
                truth = [frozen.classes[tag] for tag in batch["word_tags"][row][:words]]
                places = batch["word_tokens"][row][:words]  # (W,)
                predicted_tags = [
                    names[tag_numbers[row, place]] if place >= 0 and finite[row] else spans.OUTSIDE for place in places
                ]
                is_read = (places >= 0) & finite[row]  # (W,)
                summands[number] = self.of_sample(view, truth, predicted_tags, is_read)
                unread += _unread(truth, places >= 0)
                if temperature != 1 and is_read.any():
                    correct = np.array([one == other for one, other in zip(truth, predicted_tags, strict=True)])
                    confidences.add(outputs["probabilities"][row][places[is_read]], correct[is_read], temperature)
        samples, left_out, entities = unread.tolist()
        view = view._replace(
            calibration=confidences.table(temperature) if confidences.correct else None,
            unread_samples=samples,
            unread_words=left_out,
            unread_entities=entities,
        )
        metrics = {
            "entity_f1": view.f1,
            "entity_precision": view.precision,
            "entity_recall": view.recall,
            "token_accuracy": view.token_accuracy,
        }
        return AdditiveScores(summands, metrics, view, not_finite, clusters=frozen.clusters)

    def of_sample(
        self,
        view: EntityView,
        truth: Sequence[str],
        predicted_tags: Sequence[str],
        is_read: NDArray[np.bool_] | None = None,
    ) -> Real:
        """Summands of one sample (S,), from its true and predicted tags of each word.

        Args:
            is_read: (W,) whether the network gives a tag for the word; the others are wrong. None: for all of them.
        """
        true_spans, predicted_spans = set(spans.spans(truth)), set(spans.spans(predicted_tags))
        counts = [
            Counter(span.label for span in spans_)
            for spans_ in (true_spans & predicted_spans, predicted_spans, true_spans)
        ]
        per_kind = [count[name] for name in view.names for count in counts]
        equal = np.array([one == other for one, other in zip(truth, predicted_tags, strict=True)], np.bool_)
        correct = np.count_nonzero(equal if is_read is None else equal & is_read)
        return np.array([*per_kind, correct, len(truth)], np.float64)


class _Confidences(NamedTuple):
    """The probability of the answered tag of each word, with and without the temperature, and whether it is correct."""

    after: list[Real]
    before: list[Real]
    correct: list[NDArray[np.bool_]]

    def add(self, probabilities: NDArray[Any], correct: NDArray[np.bool_], temperature: float) -> None:
        """Add words of a sample: probabilities (W, K), correct (W,)."""
        self.after.append(probabilities.max(axis=1).astype(np.float64))
        self.before.append(uncalibrated(probabilities, temperature).max(axis=1))
        self.correct.append(correct)

    def table(self, temperature: float) -> dict[str, float]:
        """The table of metrics.json."""
        correct = np.concatenate(self.correct)
        after, before = ({"ece": confidence_error(np.concatenate(part), correct)} for part in (self.after, self.before))
        return before_and_after(temperature, before, after)


def _unread(truth: Sequence[str], is_read: NDArray[np.bool_]) -> NDArray[np.int64]:
    """1 if a sample has unread words, their number, and the number of entities that have one of them: (3,)."""
    words = np.count_nonzero(~is_read)
    entities = sum(not is_read[span.begin : span.end].all() for span in spans.spans(truth)) if words else 0
    return np.array([words > 0, words, entities], np.int64)


SCORER = TokenClassificationScorer()
