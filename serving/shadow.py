"""A challenger in the shadow: it answers what the champion has answered, and nobody sees it."""

from __future__ import annotations

from collections.abc import Callable

from components.contracts.errors import InferenceError, SampleError
from components.inference.predictor import Prediction
from serving import metrics
from serving.holding import Holding
from serving.request import Images, Pixels
from serving.seats import Seat, failure


def offer(
    holding: Holding, seat: Seat, found: Images | Pixels, champion: list[Prediction], busy: Callable[[], bool]
) -> None:
    """Let the challenger answer a request some time, if it has room, and compare.

    Args:
        champion: what the champion answered.
        busy: whether requests are waiting.
    """
    size = sum(map(len, found)) if isinstance(found, list) else found.nbytes
    if not seat.background.offer(lambda: _answer(holding, seat, found, champion), size, busy):
        seat.drop()


def _answer(holding: Holding, seat: Seat, found: Images | Pixels, champion: list[Prediction]) -> None:
    if holding.now.challenger is not seat:
        return
    try:
        if not isinstance(found, list):
            seat.loaded.predictor.check(found)
        answer = seat.answer(found)
    except (SampleError, InferenceError) as error:  # the champion took the sample
        seat.fail(failure(error))
    else:
        agreed = sum(ours.label == theirs.label for ours, theirs in zip(answer, champion, strict=True))
        seat.record.compare(agreed, len(answer))
        metrics.COMPARED.labels(*seat.labels[:2]).inc(len(answer))
        metrics.AGREED.labels(*seat.labels[:2]).inc(agreed)
    holding.judge(seat)
