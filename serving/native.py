"""The native endpoint: POST /predict, in the terms of the task."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor

from components.contracts.serving_spec import KEY_HEADER, TIMEOUT_HEADER
from components.inference.row_judge import Missed
from serving import json_text
from serving import request as requests
from serving.answering import Answerer, Context
from serving.exchange import Answer, HttpRequest, Reply
from serving.prediction_log import new_id
from serving.problem import RefusedRequest
from serving.settings import ServingSettings
from serving.slots import ModelSlot

_KEY, _TIMEOUT = KEY_HEADER.lower().encode(), TIMEOUT_HEADER.lower().encode()


class Native:
    """Answers /predict."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._large_bodies = ThreadPoolExecutor(1, "bodies")

    async def predict(self, request: HttpRequest, settings: ServingSettings) -> Answer:
        """Predict. The slot that is chosen when the request arrives answers it, even if it is swapped meanwhile.

        Raises:
            RefusedRequest: with the slot that refused it, once there is one.
        """
        context = context_of(request, settings)
        slot = self._answerer.choose(context)
        with refusing(slot), self._answerer.queued(slot):
            loaded = slot.loaded
            parsed = await requests.read(request, loaded.settings, loaded.predictor, self._large_bodies)
            file = requests.requested_file(request, loaded.predictor.endpoint, parsed)
            answered = await self._answerer.answer(slot, parsed, context)
        slot, predictions, after, encoded = answered
        if file:
            content = base64.b64decode(predictions[0][file.field])
            return Reply(content, 200, file.media.encode(), slot.encoded_headers, after)
        # Put together of parts, since model, version and digest are the same each time.
        content = b'{"predictions":%b,"model":%b,"id":"%b"}' % (
            encoded or json_text.dumps(predictions), slot.encoded_about, context.id.encode(),
        )  # fmt: skip
        if context.missed:
            flags = json_text.dumps([missed.document() for missed in context.missed])
            content = b'%b,"flags":%b}' % (content[:-1], flags)
        return Reply(content, headers=slot.encoded_headers, after=after)


class refusing:  # noqa: N801  # a context manager, as those of contextlib
    """Give a refusal the slot that made it, for its headers and its count."""

    __slots__ = ("_slot",)

    def __init__(self, slot: ModelSlot) -> None:
        self._slot = slot

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Note the slot."""
        if isinstance(error, RefusedRequest):
            error.slot = error.slot or self._slot


def context_of(request: HttpRequest, settings: ServingSettings) -> Context:
    """What a request's headers say.

    Raises:
        RefusedRequest: 400, the header of the deadline is no positive number.
    """
    seconds = settings.timeout_seconds
    if (text := request.header(_TIMEOUT)) is not None:
        try:
            asked = float(text) / 1000
        except ValueError:
            asked = -1.0
        if not asked >= 0:  # neither is NaN
            raise RefusedRequest(
                400, "timeout", f"{TIMEOUT_HEADER} is no number of milliseconds", got=text, expected="such as 500"
            )
        seconds = min(seconds, asked)
    key = request.header(_KEY)
    request.prediction_id = prediction_id = new_id()
    request.missed = missed = list[Missed]()
    until = time.monotonic() + seconds
    return Context(requests.named_version(request), key, until, request.is_gone, prediction_id, missed)
