"""An answer of OpenAI's API in parts, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from components.core.errors import InferenceError, SampleError
from components.tasks.task import StreamedPart
from serving.answering import Answerer, Context
from serving.problem import RefusedRequest
from serving.protocols import error_format
from serving.protocols.openai_answers import AnswerForm, finish, head, usage
from serving.request import PredictionRequest
from serving.slots import ModelSlot, failure
from serving.streaming import parts


class TextStream:
    """An answer in parts: one choice after the other."""

    def __init__(
        self,
        answerer: Answerer,
        form: AnswerForm,
        slot: ModelSlot,
        parsed: PredictionRequest,
        context: Context,
        *,
        include_usage: bool,
    ) -> None:
        self.slot = slot
        self._answerer, self._form, self._context = answerer, form, context
        self._requests = [PredictionRequest([item], parsed.parameters, parsed.size) for item in parsed.items]
        self._include_usage = include_usage
        self._first: StreamedPart | None = None

    async def begin(self) -> None:
        """Compute the first part, so that what fails at once is refused with a status.

        Raises:
            RefusedRequest: 4xx, the text is not what the task takes; 500, the model failed.
        """
        self._parts = parts(self._answerer, self.slot, self._requests[0], self._context)
        try:
            self._first = await anext(self._parts)
        except SampleError as error:
            raise RefusedRequest.of(error, self.slot.loaded.predictor.endpoint.item) from error
        except InferenceError as error:
            raise RefusedRequest(500, failure(error), error.what, where=error.where) from error

    async def events(self) -> AsyncIterator[bytes]:
        """The answer as server-sent events."""
        common = head(self._form, self._form.chunk_kind, self.slot)
        common |= {"usage": None} if self._include_usage else {}
        prompt_tokens = completion_tokens = 0
        try:
            for index, request in enumerate(self._requests):
                if index:
                    self._parts = parts(self._answerer, self.slot, request, self._context)
                    self._first = await anext(self._parts)
                last = self._first
                async for event, part in self._choice(common, index):
                    last = part
                    yield event
                if last is not None:
                    prompt_tokens += last.prompt_tokens
                    completion_tokens += last.tokens
        except (InferenceError, RefusedRequest) as error:
            yield _event({"error": _told(error)})  # the status is sent: the client hears of it in the stream
            return
        finally:
            await self._parts.aclose()
        if self._include_usage:
            yield _event({**common, "choices": [], "usage": usage(prompt_tokens, completion_tokens)})
        yield b"data: [DONE]\n\n"

    async def _choice(self, common: Mapping[str, Any], index: int) -> AsyncIterator[tuple[bytes, StreamedPart]]:
        part, is_first, is_blank = self._first, True, self._form.is_chat
        while part is not None:
            text = part.text.lstrip() if is_blank else part.text
            is_blank = is_blank and not text
            reason = finish(part.prediction) if part.prediction else None
            if text or is_first or reason:
                choice = self._form.part(index, text, reason, is_first=is_first)
                yield _event({**common, "choices": [choice]}), part
            is_first = False
            part = await anext(self._parts, None)


def _told(error: InferenceError | RefusedRequest) -> dict[str, Any]:
    if isinstance(error, RefusedRequest):
        return error_format.openai(error)
    return error_format.openai(RefusedRequest(500, failure(error), error.what, where=error.where))


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)
