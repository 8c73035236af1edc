"""The next token of texts that begin with several tokens, by the graphs of an encoder and a decoder.

Legend: N samples, R hypotheses, P tokens of the prompt, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.tasks import decoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class PromptedTargets:
    """What `beam_search.search` calls, from the last token of the prompt on.

    Args:
        run: runs the graphs; with a state where the package has one.
        encoded: what the encoder gave and the lengths, N rows each.
        beams: hypotheses of each sample.
        prompt: tokens that every text begins with.
        never_first: tokens that do not follow the prompt.
    """

    def __init__(
        self, run: RunGraph, encoded: Arrays, beams: int, prompt: Sequence[int], never_first: Sequence[int]
    ) -> None:
        runner = decoding.stateful(run, "decoder")
        self._run, self._encoded = run, encoded
        self._before, self._never_first = list(prompt[:-1]), list(never_first)
        self._continued = None if runner is None else decoding.ContinuedTargets(runner, encoded, beams, self._before)

    def __call__(self, rows: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.floating]:
        """The sample of each row (R,), and its tokens so far (R, t), to logits (R, V)."""
        import numpy as np

        if self._continued is not None:
            logits = self._continued(rows, target)
        else:
            before = np.tile(np.asarray(self._before, np.int64), (len(rows), 1))  # (R, P - 1)
            memory = {name: value[rows] for name, value in self._encoded.items()}
            logits = self._run("decoder", {**memory, "target": np.concatenate([before, target], axis=1)})["logits"]
        if target.shape[1] == 1 and self._never_first:
            logits = np.array(logits)
            logits[:, self._never_first] = -np.inf
        return logits

    def reorder(self, rows: NDArray[np.int64]) -> None:
        """Continue these rows of the last call (R,)."""
        if self._continued is not None:
            self._continued.reorder(rows)
