"""The stage `scoring`: score an input with a bundle's predictor, and seal the output."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> None:
    """Score what a request file names; the last line of standard output is a `ScoreOutcome`.

    Raises:
        UsageError: not called with one readable request file, or the request cannot be carried out.
        CorruptArtifactError: the bundle is not as sealed, or the predictor answers otherwise than in training.
        ValidationRefused: too many samples cannot be scored, or an expectation is not met that must be.
        SourceError: the input cannot be read at all, or changed while it was scored.
        Interrupted: SIGINT or SIGTERM; parts that are done are kept.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _prestart_workers(arguments)
    from components.contracts.score_request import ScoreOutcome, ScoreRequest
    from components.scoring import batch

    request = ScoreRequest.read(arguments)
    begin = time.monotonic()
    done = batch.score(request, lambda text: print(text, file=sys.stderr, flush=True))
    outcome = ScoreOutcome(
        state=done.state,
        out=request.out,
        digest=done.digest,
        seconds=round(time.monotonic() - begin, 3),
        scored=done.scored,
    )
    print(outcome.model_dump_json(), flush=True)


def _prestart_workers(arguments: list[str]) -> None:
    """Let the workers of a Dask cluster on this machine import what they need while this process does."""
    with contextlib.suppress(OSError, ValueError, AttributeError, IndexError):  # `read` says what is wrong
        if (request := json.loads(Path(arguments[0]).read_bytes()).get("cluster")) is not None:
            # By its name: where pieces are scored is no part of the code that makes the output.
            prestart: Any = importlib.import_module("components.cluster.prestart")
            prestart.start(request["cluster"], prestart.SCORE)
