"""Scores of language models: prediction of the next token.

Legend: N texts, T tokens, V vocabulary, R resamples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import TokensInput
from components.core.errors import InferenceError
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.batch import collate

BATCH = 16
POSITION_RANGES = (1, 4, 16, 64, 256, 1024)  # first tokens of the ranges of positions


class PositionView(NamedTuple):
    """Sums: negative log-likelihood (nats), correct and all tokens, for each range of positions in a text.

    Args:
        window: tokens of the context window.
        long_texts: number of texts that are longer.
    """

    ranges: int = len(POSITION_RANGES)
    window: int = 0
    long_texts: int = 0

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
        reading = {"tokens": int(self._parts(total)[:, 2].sum()), "window": self.window, "long_texts": self.long_texts}
        return {"per_place": rows, "reading": reading}

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
        tokens = self.document(total)["reading"]["tokens"]
        limits = [
            "- Perplexity depends on the tokenizer; models with other tokenizers are not comparable.",
            f"- Figures are over all {tokens:,} tokens. {self.long_texts:,} of {samples:,} texts are longer than the"
            f" context window of {self.window:,} tokens and are read in windows, each without what was before it.",
        ]
        return CardLines(lines, limits)


class Window(NamedTuple):
    """A part of a text that the network reads at once: tokens `begin` to `end` of a text; the first has no target."""

    text: int
    begin: int
    end: int


class NextTokenScorer(NamedTuple):
    """The scorer: graph `model` gives `logits` (N, T, V) of the token after each token."""

    truth: tuple[str, ...] | None = None

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Every token of `text_tokens` but the first of each text is predicted once, from the tokens before it.

        A text longer than the context window is read in windows; the last token of one is the first of the next.
        """
        frozen.require("text_tokens")
        size = cast(TokensInput, predictor.processor.input_spec()).max_length
        windows = _windows(frozen.split.lengths("text_tokens"), size)
        view = PositionView(window=size, long_texts=int(np.count_nonzero(frozen.split.lengths("text_tokens") > size)))
        summands, not_finite = np.zeros((len(frozen), 3 * view.ranges)), set()
        for begin in range(0, len(windows), BATCH):
            batch = windows[begin : begin + BATCH]
            parts = [_tokens(frozen, window) for window in batch]
            logits = next_token_logits(predictor, parts)
            for window, tokens, rows in zip(batch, parts, logits, strict=True):
                finite = bool(np.isfinite(rows[: len(tokens) - 1]).all())
                if not finite:
                    not_finite.add(window.text)
                known = rows[: len(tokens) - 1] if finite else np.zeros_like(rows[: len(tokens) - 1])
                summands[window.text] += self.of_text(known, tokens[1:], window.begin + 1)
            step(sum(window.begin == 0 for window in batch))
        metrics = {"perplexity": view.perplexity, "next_token_accuracy": view.next_token_accuracy}
        return AdditiveScores(summands, metrics, view, len(not_finite))

    def of_text(
        self, logits: NDArray[np.float32], tokens: NDArray[np.int64], first: int | NDArray[np.int64] = 1
    ) -> Real:
        """Summands of a text (S,), from logits (T - 1, V) and the true tokens (T - 1,).

        Args:
            first: position of the first of the tokens in its text; or the positions of all, (T - 1,).
        """
        places = np.arange(first, first + len(tokens)) if isinstance(first, int) else first
        logits64 = logits.astype(np.float64)
        largest = logits64.max(axis=1, initial=0)
        normaliser = largest + np.log(np.exp(logits64 - largest[:, None]).sum(axis=1))
        nll = normaliser - logits64[np.arange(len(tokens)), tokens]
        correct = logits64.argmax(axis=1) == tokens if len(tokens) else np.zeros(0)
        range_index = np.searchsorted(POSITION_RANGES, places, side="right") - 1
        count = len(POSITION_RANGES)
        columns = [np.bincount(range_index, values, count) for values in (nll, correct, np.ones(len(tokens)))]
        return np.stack(columns, axis=1).astype(np.float64).reshape(-1)


def _windows(lengths: NDArray[np.int64], size: int) -> list[Window]:
    """The windows of all texts, the shortest first."""
    windows = [
        Window(text, begin, min(begin + size, length))
        for text, length in enumerate(lengths.tolist())
        for begin in range(0, max(length - 1, 1), size - 1)
    ]
    return sorted(windows, key=lambda window: window.end - window.begin)


def _tokens(frozen: FrozenSplit, window: Window) -> NDArray[np.int64]:
    whole: NDArray[np.int32] = frozen.split.sample(window.text)["text_tokens"]
    return whole[window.begin : window.end].astype(np.int64)


def next_token_logits(predictor: PackagePredictor, parts: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Logits (N, T, V) of token sequences."""
    inputs = predictor.processor.inputs()
    spec = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged")
    feed = collate([spec], [{"tokens": tokens} for tokens in parts])
    logits: NDArray[np.float32] = predictor.outputs("model", {name: feed[name] for name in inputs})["logits"]
    if logits.ndim != 3:
        raise InferenceError(
            "the graph gives logits of one position only", got=list(logits.shape), expected="(N, T, V)"
        )
    return logits


SCORER = NextTokenScorer()
