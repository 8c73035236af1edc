"""The text of a continuation while its tokens come, up to the first stop text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.preprocessing.text import Tokenizer


class GrowingText:
    """Whole characters that will not change any more: the begin of the text of the answer.

    Space at the end is held back, as an answer does not end with it, and so is what may be the begin of a stop text.

    Args:
        prompt: tokens before the text.
        stop: texts that end it; they are not part of it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: NDArray[np.int64], stop: Sequence[str]) -> None:
        before = tokenizer.decode_all(prompt)
        self._follow = tokenizer.follow(prompt)
        self._stop = stop
        self._begins = not before.strip()  # the text of an answer does not begin with space if nothing is before it
        self._held = before[len(before.rstrip()) :]
        self.emitted = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The next characters, after one more token; `stopped` is true if a stop text is complete."""
        self._held += self._follow(token)
        if self._begins:
            self._held = self._held.lstrip()
            self._begins = not self._held
        known = self._held.rstrip()
        places = [place for place in (known.find(ending) for ending in self._stop) if place >= 0]
        self.stopped = bool(places)
        piece = known[: min(places)] if places else known[: len(known) - self._open(known)]
        self._held = self._held[len(piece) :]
        self.emitted += piece
        return piece

    def _open(self, known: str) -> int:
        """Number of last characters that may be the begin of a stop text."""
        sizes = (
            size
            for ending in self._stop
            for size in range(min(len(ending) - 1, len(known)), 0, -1)
            if known.endswith(ending[:size])
        )
        return max(sizes, default=0)
