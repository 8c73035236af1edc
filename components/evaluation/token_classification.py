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
from components.evaluation.scorer import AnsweringPackage, CardLines, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing import spans

BATCH = 64


class Kinds(NamedTuple):
    """Sums: correct, predicted and true entities of each label (3 * E), then correct and all words."""

    names: tuple[str, ...]

    def counts(self, total: Real) -> Real:
        """(..., E, 3) of sums (..., S)."""
        return total[..., : 3 * len(self.names)].reshape(*total.shape[:-1], len(self.names), 3)

    def precision(self, total: Real) -> Real:
        """(R,), over all labels."""
        right, found, _ = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(right, found)

    def recall(self, total: Real) -> Real:
        """(R,), over all labels."""
        right, _, true = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(right, true)

    def f1(self, total: Real) -> Real:
        """(R,), over all labels."""
        right, found, true = np.moveaxis(self.counts(total).sum(axis=-2), -1, 0)
        return share(2 * right, found + true)

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
        from components.evaluation.task_plots import draw_kinds

        rows = [(row["type"], row["precision"], row["recall"], row["support"]) for row in self._rows(total)]
        draw_kinds(rows, folder / "entities.png")

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
        for name, (right, found, true) in zip(self.names, self.counts(total), strict=True):
            precision, recall, f1 = (
                float(share(part, whole)) for part, whole in ((right, found), (right, true), (2 * right, found + true))
            )
            rows.append({"type": name, "precision": precision, "recall": recall, "f1": f1, "support": int(true)})
        return rows


class TokenClassificationScorer(NamedTuple):
    """The scorer: graph `model` gives `probabilities` (N, T, K); `tags` (N, T) has the true tag of each word."""

    truth: tuple[str, ...] | None = ()

    def score(self, asked: AnsweringPackage, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Tags are matched by name. A sample that is not finite counts as without entities and correct words."""
        names = asked.signature.classes
        kinds = Kinds(tuple(sorted({tag[2:] for tag in [*frozen.classes, *names] if tag != spans.OUTSIDE})))
        summands = np.zeros((len(frozen), 3 * len(kinds.names) + 2))
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(asked, frozen.split, step, BATCH):
            answers = outputs["probabilities"].argmax(axis=-1)  # (B, T)
            words = batch["tags"] != spans.IGNORED  # (B, T)
            finite = batched_prediction.finite(np.where(words[..., None], outputs["probabilities"], 0))
            not_finite += int(np.count_nonzero(~finite))
            for row, number in enumerate(index):
                truth = [frozen.classes[tag] for tag in batch["tags"][row][words[row]]]
                found = [names[tag] for tag in answers[row][words[row]]] if finite[row] else None
                summands[number] = self.of_sample(kinds, truth, found)
        metrics = {
            "entity_f1": kinds.f1,
            "entity_precision": kinds.precision,
            "entity_recall": kinds.recall,
            "token_accuracy": kinds.token_accuracy,
        }
        return AdditiveScores(summands, metrics, kinds, not_finite)

    def of_sample(self, kinds: Kinds, truth: Sequence[str], found: Sequence[str] | None) -> Real:
        """Summands of one sample (S,), from its true and predicted tags of each word."""
        true, answered = set(spans.spans(truth)), set(spans.spans(found or []))
        counts = [Counter(span.label for span in which) for which in (true & answered, answered, true)]
        per_kind = [count[name] for name in kinds.names for count in counts]
        right = sum(one == other for one, other in zip(truth, found, strict=True)) if found is not None else 0
        return np.array([*per_kind, right, len(truth)], np.float64)


SCORER = TokenClassificationScorer()
