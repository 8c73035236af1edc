"""A challenger in the shadow answers what the champion has answered; the answers are compared and not returned."""

from __future__ import annotations

from collections.abc import Callable

from components.core.errors import InferenceError, SampleError
from components.tasks.task import Prediction
from serving import metrics
from serving.request import PredictionRequest
from serving.slot_manager import SlotManager
from serving.slots import ModelSlot, SlotAnswer, failure


def offer(
    slot_manager: SlotManager,
    slot: ModelSlot,
    request: PredictionRequest,
    champion: list[Prediction],
    busy: Callable[[], bool],
    answered: Callable[[SlotAnswer], None],
    embeds: Callable[[], bool],
) -> None:
    """Let the challenger answer a request in the background, unless its queue is full, and compare the answers.

    Args:
        champion: the champion's answer.
        busy: whether requests are waiting.
        answered: called with the challenger's answer.
        embeds: whether the answer is to have embeddings.
    """

    def answer() -> None:
        _answer(slot_manager, slot, request, champion, answered, embeds=embeds())

    if not slot.background.offer(answer, request.size, busy):
        slot.drop()


def _answer(
    slot_manager: SlotManager,
    slot: ModelSlot,
    request: PredictionRequest,
    champion: list[Prediction],
    answered: Callable[[SlotAnswer], None],
    *,
    embeds: bool,
) -> None:
    if slot_manager.current.challenger is not slot:
        return
    try:
        computed = slot.answer(request, embeds=embeds)
    except (SampleError, InferenceError) as error:  # the champion accepted the sample
        slot.fail(failure(error))
    else:
        answer = computed.predictions
        agree = slot.loaded.predictor.task.agree
        agreed = sum(
            agree(challenger_answer, champion_answer)
            for challenger_answer, champion_answer in zip(answer, champion, strict=True)
        )
        slot.recorder.compare(agreed, len(answer))
        metrics.COMPARED.labels(*slot.labels[:2]).inc(len(answer))
        metrics.AGREED.labels(*slot.labels[:2]).inc(agreed)
        answered(computed)
    slot_manager.judge(slot)
