"""Scores of language models: prediction of the next token.

Legend: N texts, T tokens, V vocabulary, R resamples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import InferenceError
from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit

BATCH = 16
POSITION_RANGES = (1, 4, 16, 64, 256, 1024)  # first tokens of the ranges of positions


class PositionView(NamedTuple):
    """Sums: negative log-likelihood (nats), correct and all tokens, for each range of positions in a text."""

    ranges: int = len(POSITION_RANGES)

    def _parts(self, total: Real) -> Real:
        return total.reshape(*total.shape[:-1], self.ranges, 3)

    def perplexity(self, total: Real) -> Real:
        """exp of the mean negative log-likelihood (R,); Jelinek et al. 1977, JASA 62:S63."""
        nll, _, tokens = np.moveaxis(self._parts(total).sum(axis=-2), -1, 0)
        return np.asarray(np.exp(share(nll, tokens)))

    def next_token_accuracy(self, total: Real) -> Real:
        """Share of correct tokens (R,)."""
        _, correct, tokens = np.moveaxis(self._parts(total).sum(axis=-2), -1, 0)
        return share(correct, tokens)

    def slices(self, total: Real) -> list[Slice]:
        """No slices."""
        return []

    def document(self, total: Real) -> dict[str, Any]:
        """Figures by position in the text."""
        rows = []
        for first, (nll, correct, tokens) in zip(POSITION_RANGES, self._parts(total), strict=True):
            if tokens:
                figures = {"perplexity": float(np.exp(nll / tokens)), "next_token_accuracy": float(correct / tokens)}
                rows.append({"from_token": first, "tokens": int(tokens), **figures})
        return {"per_place": rows}

    def draw(self, total: Real, folder: Path) -> None:
        """Perplexity by position."""
        from components.evaluation.task_plots import draw_positions

        rows = self.document(total)["per_place"]
        draw_positions([(row["from_token"], row["perplexity"]) for row in rows], folder / "perplexity.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """Figures by position."""
        rows = self.document(total)["per_place"]
        lines = ["| from token | perplexity | right | tokens |", "|---|---|---|---|"]
        lines += [
            f"| {row['from_token']} | {row['perplexity']:.2f} | {row['next_token_accuracy']:.4f} | {row['tokens']:,} |"
            for row in rows
        ]
        return CardLines(
            lines, ["- Perplexity depends on the tokenizer; models with other tokenizers are not comparable."]
        )


class NextTokenScorer(NamedTuple):
    """The scorer: graph `model` gives `logits` (N, T, V) of the token after each token."""

    truth: tuple[str, ...] | None = None

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Every token but the first of each text is predicted from the tokens before it."""
        view = PositionView()
        summands = np.zeros((len(frozen), 3 * view.ranges))
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step, BATCH):
            logits = outputs["logits"]
            if logits.ndim != 3:
                raise InferenceError(
                    "the graph gives logits of one position only", got=list(logits.shape), expected="(N, T, V)"
                )
            for row, number in enumerate(index):
                length = int(batch["tokens_lengths"][row])
                text_logits = logits[row, : max(length - 1, 0)]
                finite = bool(np.isfinite(text_logits).all())
                not_finite += not finite
                summands[number] = self.of_text(
                    text_logits if finite else np.zeros_like(text_logits), batch["tokens"][row, 1:length]
                )
        metrics = {"perplexity": view.perplexity, "next_token_accuracy": view.next_token_accuracy}
        return AdditiveScores(summands, metrics, view, not_finite)

    def of_text(self, logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> Real:
        """Summands of a text (S,), from logits (T - 1, V) and the true tokens (T - 1,)."""
        logits64 = logits.astype(np.float64)
        largest = logits64.max(axis=1, initial=0)
        normaliser = largest + np.log(np.exp(logits64 - largest[:, None]).sum(axis=1))
        nll = normaliser - logits64[np.arange(len(tokens)), tokens]
        correct = logits64.argmax(axis=1) == tokens if len(tokens) else np.zeros(0)
        range_index = np.searchsorted(POSITION_RANGES, np.arange(1, len(tokens) + 1), side="right") - 1
        count = len(POSITION_RANGES)
        columns = [np.bincount(range_index, values, count) for values in (nll, correct, np.ones(len(tokens)))]
        return np.stack(columns, axis=1).astype(np.float64).reshape(-1)


SCORER = NextTokenScorer()
