"""Scores of language models on answers: prediction of the tokens of answers, from all tokens before them.

Legend: N conversations, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from components.contracts.shapes import TokensInput
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples
from components.evaluation.test_split import FrozenSplit
from components.evaluation.text_generation import BATCH, NextTokenScorer, PositionView, next_token_logits


class AnswerView(PositionView):
    """As `PositionView`, for conversations that are cut to the context window."""

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """Figures by position."""
        lines, (about_tokenizers, _) = super().card_lines(total, samples)
        tokens = self.document(total)["reading"]["tokens"]
        figures = (
            f"- Figures are over the {tokens:,} tokens of answers. {self.long_texts:,} of {samples:,} conversations"
            f" fill the context window of {self.window:,} tokens; what is beyond is not scored."
        )
        return CardLines(lines, [about_tokenizers, figures])


class AnswerScorer(NamedTuple):
    """The scorer: graph `model` gives `logits` (N, T, V) of the token after each token."""

    truth: tuple[str, ...] | None = None

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Every token of `tokens` whose `answers` is 1 is predicted once, from the tokens before it."""
        frozen.require("answers")
        size = cast(TokensInput, predictor.processor.input_spec()).max_length
        counts = frozen.split.lengths("tokens")
        view = AnswerView(window=size, long_texts=int(np.count_nonzero(counts >= size)))
        order = np.argsort(counts, kind="stable")
        summands, not_finite = np.zeros((len(frozen), 3 * view.ranges)), 0
        for begin in range(0, len(order), BATCH):
            chosen = order[begin : begin + BATCH].tolist()
            parts = [frozen.split.sample(row) for row in chosen]
            logits = next_token_logits(predictor, [part["tokens"].astype(np.int64) for part in parts])
            for row, part, rows in zip(chosen, parts, logits, strict=True):
                places = np.flatnonzero(part["answers"][1:]) + 1  # of answers, but for a first token
                known = rows[places - 1]
                if not np.isfinite(known).all():
                    not_finite += 1
                    known = np.zeros_like(known)
                summands[row] = NextTokenScorer().of_text(known, part["tokens"][places], places)
            step(len(chosen))
        metrics = {"perplexity": view.perplexity, "next_token_accuracy": view.next_token_accuracy}
        return AdditiveScores(summands, metrics, view, not_finite)


SCORER = AnswerScorer()
