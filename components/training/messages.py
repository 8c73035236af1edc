"""Messages of one line on stderr."""

from __future__ import annotations

import contextlib
import sys


def log(line: str) -> None:
    """Print a line; a closed pipe does not stop the training."""
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
