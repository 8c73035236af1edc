"""The next token of texts, by a graph that reads them token by token and keeps a state of what it has read.

A package whose graphs have no state, as those of earlier versions, reads the whole text again for each token. So does a
graph with a state for a text that is longer than its window: the window moves with each token, and with it the position
of every token, so nothing of the state is right any more. The answers are the same in both ways.

Legend: N texts, n texts that continue, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph

LOGITS_FROM = "logits_from"  # an input of a language model: the first position whose logits are computed


class GraphState(Protocol):
    """The state of a graph after the tokens so far; it stays where the graph runs."""

    def select(self, rows: NDArray[np.int64]) -> Self:
        """The state of these rows, in this order; a row may be repeated."""


@runtime_checkable
class StatefulRunner(Protocol):
    """What runs the graphs of a package, if it can keep their states."""

    def states(self, graph: str) -> Sequence[str]:
        """The inputs of a graph that are its state; none for a graph without."""

    def advance(self, graph: str, feed: Mapping[str, NDArray[Any]], state: Any) -> tuple[Arrays, Any]:
        """Run a graph once: its answers, and its next state.

        Args:
            state: as this method returned it; None for the first run, whose feed may have first values of the state.
        """


def stateful(run: object, graph: str) -> StatefulRunner | None:
    """The runner, if it keeps the state of this graph, and the graph has one."""
    return run if isinstance(run, StatefulRunner) and run.states(graph) else None


def next_token_logits(
    run: RunGraph, inputs: tuple[str, ...], window: int, pad: int
) -> Callable[[Sequence[NDArray[np.int64]], NDArray[np.int64] | None], NDArray[np.floating]]:
    """A function for `sampling.write`: the texts so far, and which of the last call each continues, to logits (N, V).

    Args:
        inputs: names of the tokens and their lengths.
        window: number of last tokens that the network sees.
        pad: number of the padding.
    """
    runner = stateful(run, "model")
    texts = Texts(inputs, pad)
    return WholeTexts(run, texts, window) if runner is None else ContinuedTexts(runner, texts, window)


class Texts(NamedTuple):
    """How texts are fed to the graph: the names of the tokens and their lengths, and the number of the padding."""

    inputs: tuple[str, ...]
    pad: int

    def feed(self, texts: Sequence[NDArray[np.int64]]) -> Arrays:
        """Tokens (N, T), padded at the end, and their lengths (N,)."""
        import numpy as np

        tokens, lengths = self.inputs
        counts = np.asarray([len(text) for text in texts], np.int64)
        padded = np.full((len(texts), int(counts.max())), self.pad, np.int64)
        for row, text in enumerate(texts):
            padded[row, : len(text)] = text
        return {tokens: padded, lengths: counts}


class WholeTexts:
    """Reads the last tokens of each text, up to the window, for each next token."""

    def __init__(self, run: RunGraph, texts: Texts, window: int) -> None:
        self._run, self._texts, self._window = run, texts, window

    def __call__(self, texts: Sequence[NDArray[np.int64]], continued: NDArray[np.int64] | None) -> NDArray[np.floating]:
        """See `next_token_logits`."""
        import numpy as np

        feed = self._texts.feed([text[-self._window :] for text in texts])
        logits = self._run("model", feed)["logits"]  # (N, V), or (N, T, V)
        return logits if logits.ndim == 2 else logits[np.arange(len(logits)), feed[self._texts.inputs[1]] - 1]


class ContinuedTexts:
    """Reads only the newest token of each text within the window, after the state of the tokens before."""

    def __init__(self, runner: StatefulRunner, texts: Texts, window: int) -> None:
        self._runner, self._texts, self._window = runner, texts, window
        self._state: Any = None
        self._rows: list[int] = []  # the texts of the last call whose state is kept, in the state's order

    def __call__(self, texts: Sequence[NDArray[np.int64]], continued: NDArray[np.int64] | None) -> NDArray[np.floating]:
        """See `next_token_logits`."""
        import numpy as np

        within = [row for row, text in enumerate(texts) if len(text) <= self._window]
        beyond = [row for row, text in enumerate(texts) if len(text) > self._window]
        parts: list[NDArray[np.floating]] = []
        if within and continued is None:
            parts.append(self._begin([texts[row] for row in within]))
        elif within and continued is not None:
            places = {row: place for place, row in enumerate(self._rows)}
            kept = [places[int(continued[row])] for row in within]
            if kept != list(range(len(self._rows))):
                self._state = self._state.select(np.asarray(kept, np.int64))
            parts.append(self._advance([texts[row][-1:] for row in within]))
        if beyond:
            window = [texts[row][-self._window :] for row in beyond]
            parts.append(self._logits(window, self._window - 1, None)[0])
        self._rows = within
        order = np.argsort(np.asarray(within + beyond), kind="stable")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)[order]

    def _begin(self, texts: Sequence[NDArray[np.int64]]) -> NDArray[np.floating]:
        """Read whole texts, without the logits of all tokens but the last, which nobody needs."""
        size = len(texts[0])
        if all(len(text) == size for text in texts):
            return self._advance(texts, size - 1)
        self._advance([text[:-1] for text in texts], max(map(len, texts)) - 2)
        return self._advance([text[-1:] for text in texts])

    def _advance(self, texts: Sequence[NDArray[np.int64]], logits_from: int = 0) -> NDArray[np.floating]:
        logits, self._state = self._logits(texts, logits_from, self._state)
        return logits

    def _logits(
        self, texts: Sequence[NDArray[np.int64]], logits_from: int, state: Any
    ) -> tuple[NDArray[np.floating], Any]:
        """Logits (n, V) of the token after the first position that has any, and the next state."""
        import numpy as np

        feed = {**self._texts.feed(texts), LOGITS_FROM: np.asarray([logits_from], np.int64)}
        answers, following = self._runner.advance("model", feed, state)
        return answers["logits"][:, :1].reshape(len(texts), -1), following


class ContinuedTargets:
    """Reads only the newest token of each hypothesis of a beam search, after the state of the tokens before.

    Args:
        encoded: what the encoder gave, and the lengths, N rows each.
        beams: hypotheses of each sample.
        before: tokens that every target has before its first one; they are read in the first call.
    """

    def __init__(self, runner: StatefulRunner, encoded: Arrays, beams: int, before: Sequence[int] = ()) -> None:
        names = set(runner.states("decoder"))
        self._before = list(before)
        self._runner, self._beams = runner, beams
        self._first = {name: value for name, value in encoded.items() if name in names}
        self._all = {name: value for name, value in encoded.items() if name not in names}
        self._active, self._memory = range(len(encoded["source_lengths"])), self._all
        self._state: Any = None

    def __call__(self, rows: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.floating]:
        """The sample of each row (R,), and its tokens so far (R, t), to logits (R, V)."""
        active = rows[:: self._beams].tolist()
        if active != list(self._active):
            self._active, self._memory = active, {name: value[active] for name, value in self._all.items()}
        newest = target[:, -1:]
        first: Arrays = {}
        if self._state is None:
            import numpy as np

            first = {name: value[rows] for name, value in self._first.items()}
            newest = np.concatenate([np.tile(np.asarray(self._before, np.int64), (len(rows), 1)), newest], axis=1)
        answers, self._state = self._runner.advance("decoder", {**self._memory, **first, "target": newest}, self._state)
        return answers["logits"]

    def reorder(self, rows: NDArray[np.int64]) -> None:
        """Continue these rows of the last call (R,)."""
        self._state = self._state.select(rows)
