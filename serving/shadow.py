"""A challenger in the shadow: it answers what the champion has answered, and nobody sees it."""

from __future__ import annotations

from collections.abc import Callable

from components.core.errors import InferenceError, SampleError
from components.tasks.task import Prediction
from serving import metrics
from serving.request import Found
from serving.slot_manager import SlotManager
from serving.slots import ModelSlot, failure


def offer(
    holding: SlotManager, seat: ModelSlot, found: Found, champion: list[Prediction], busy: Callable[[], bool]
) -> None:
    """Let the challenger answer a request some time, if it has room, and compare.

    Args:
        champion: what the champion answered.
        busy: whether requests are waiting.
    """
    if not seat.background.offer(lambda: _answer(holding, seat, found, champion), found.size, busy):
        seat.drop()


def _answer(holding: SlotManager, seat: ModelSlot, found: Found, champion: list[Prediction]) -> None:
    if holding.now.challenger is not seat:
        return
    try:
        answer = seat.answer(found)
    except (SampleError, InferenceError) as error:  # the champion took the sample
        seat.fail(failure(error))
    else:
        agree = seat.loaded.predictor.task.agree
        agreed = sum(agree(ours, theirs) for ours, theirs in zip(answer, champion, strict=True))
        seat.record.compare(agreed, len(answer))
        metrics.COMPARED.labels(*seat.labels[:2]).inc(len(answer))
        metrics.AGREED.labels(*seat.labels[:2]).inc(agreed)
    holding.judge(seat)
