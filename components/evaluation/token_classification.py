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

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing import spans

BATCH = 64


class EntityView(NamedTuple):
    """Sums: correct, predicted and true entities of each label (3 * E), then correct and all words."""

    names: tuple[str, ...]

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
        """Figures of each label."""
        return {"per_type": self._rows(total)}

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
        weakest = min((row for row in rows if row["support"]), key=lambda row: row["f1"], default=None)
        limits = [f"- Weakest kind: {weakest['type']}, F1 {weakest['f1']:.4f}."] if weakest else []
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
    """The scorer: graph `model` gives `probabilities` (N, T, K); `tags` (N, T) has the true tag of each word."""

    truth: tuple[str, ...] | None = ()

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Tags are matched by name. A sample that is not finite counts as without entities and correct words."""
        names = predictor.signature.classes
        view = EntityView(tuple(sorted({tag[2:] for tag in [*frozen.classes, *names] if tag != spans.OUTSIDE})))
        summands = np.zeros((len(frozen), 3 * len(view.names) + 2))
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step, BATCH):
            tag_numbers = outputs["probabilities"].argmax(axis=-1)  # (B, T)
            is_word = batch["tags"] != spans.IGNORED  # (B, T)
            finite = batched_prediction.finite(np.where(is_word[..., None], outputs["probabilities"], 0))
            not_finite += int(np.count_nonzero(~finite))
            for row, number in enumerate(index):
                truth = [frozen.classes[tag] for tag in batch["tags"][row][is_word[row]]]
                predicted_tags = [names[tag] for tag in tag_numbers[row][is_word[row]]] if finite[row] else None
                summands[number] = self.of_sample(view, truth, predicted_tags)
        metrics = {
            "entity_f1": view.f1,
            "entity_precision": view.precision,
            "entity_recall": view.recall,
            "token_accuracy": view.token_accuracy,
        }
        return AdditiveScores(summands, metrics, view, not_finite, clusters=frozen.clusters)

    def of_sample(self, view: EntityView, truth: Sequence[str], predicted_tags: Sequence[str] | None) -> Real:
        """Summands of one sample (S,), from its true and predicted tags of each word."""
        true_spans, predicted_spans = set(spans.spans(truth)), set(spans.spans(predicted_tags or []))
        counts = [
            Counter(span.label for span in spans_)
            for spans_ in (true_spans & predicted_spans, predicted_spans, true_spans)
        ]
        per_kind = [count[name] for name in view.names for count in counts]
        correct = (
            sum(true_tag == predicted_tag for true_tag, predicted_tag in zip(truth, predicted_tags, strict=True))
            if predicted_tags is not None
            else 0
        )
        return np.array([*per_kind, correct, len(truth)], np.float64)


SCORER = TokenClassificationScorer()
