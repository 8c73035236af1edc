"""OpenAI's API for models that write texts: /v1/completions, /v1/chat/completions, /v1/models; and embeddings.

Source: https://platform.openai.com/docs/api-reference. Streamed answers are server-sent events and end with `[DONE]`; a
client that goes away ends the computation at the next token.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from components.core.errors import InferenceError, SampleError
from components.inference import body
from components.tasks.task import EndpointSchema, Prediction, StreamedPart
from serving.answering import Answerer, Context
from serving.exchange import Answer, HttpRequest, StreamedReply, json_reply
from serving.native import context_of, refusing
from serving.problem import RefusedRequest
from serving.protocols import error_format, openai_request
from serving.protocols.call import json_object, parsed_off_loop
from serving.protocols.openai_embeddings import OpenAIEmbeddings
from serving.protocols.openai_request import TextRequest
from serving.protocols.openapi_paths import writes_texts
from serving.request import PredictionRequest
from serving.router import Routes
from serving.slots import ModelSlot, failure
from serving.streaming import count_tokens, parts
from serving.worker import Worker

_FINISH = {"end": "stop", "stop": "stop", "length": "length"}
Parse = Callable[[Mapping[str, Any], EndpointSchema], TextRequest]


class AnswerForm(NamedTuple):
    """How the answers of one of the two endpoints are written.

    Args:
        prefix: of their ids.
        kind, chunk_kind: the field `object` of a whole answer and of a part.
        is_chat: choices have a message.
    """

    prefix: str
    kind: str
    chunk_kind: str
    is_chat: bool

    def choice(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        """One choice of a whole answer."""
        content: dict[str, Any] = {"text": text}
        if self.is_chat:
            content = {"message": {"role": "assistant", "content": text.strip(), "refusal": None}}
        return {"index": index, **content, "logprobs": None, "finish_reason": finish}

    def part(self, index: int, text: str, finish: str | None, *, is_first: bool) -> dict[str, Any]:
        """One choice of a part of an answer."""
        content: dict[str, Any] = {"text": text}
        if self.is_chat:
            delta = {"role": "assistant"} if is_first else {}
            content = {"delta": {**delta, "content": text} if text or is_first else delta}
        return {"index": index, **content, "logprobs": None, "finish_reason": finish}


COMPLETION = AnswerForm("cmpl", "text_completion", "text_completion", False)
CHAT = AnswerForm("chatcmpl", "chat.completion", "chat.completion.chunk", True)


class OpenAI:
    """Answers the paths below /v1."""

    def __init__(self, answerer: Answerer, worker: Worker) -> None:
        self._answerer, self._worker = answerer, worker

    def routes(self) -> Routes:
        """The paths of this protocol."""
        return {
            "/v1/models": {"GET": self.models},
            "/v1/models/{model}": {"GET": self.model},
            "/v1/completions": {"POST": self.completions},
            "/v1/chat/completions": {"POST": self.chat},
            "/v1/embeddings": {"POST": OpenAIEmbeddings(self._answerer, self._worker).embeddings},
        }

    async def models(self, _: HttpRequest) -> Answer:
        """The one model."""
        return json_reply({"object": "list", "data": [self._described()]})

    async def model(self, request: HttpRequest) -> Answer:
        """A model by its name."""
        self._check_model(request.scope["path_params"]["model"])
        return json_reply(self._described())

    async def completions(self, request: HttpRequest) -> Answer:
        """Continue one or several texts."""
        return await self._answer(request, openai_request.completion, COMPLETION)

    async def chat(self, request: HttpRequest) -> Answer:
        """Answer a conversation."""
        return await self._answer(request, openai_request.chat, CHAT)

    async def _answer(self, request: HttpRequest, parse: Parse, form: AnswerForm) -> Answer:
        context = context_of(request, self._worker.settings)
        slot = self._answerer.choose(context)
        with refusing(slot):
            with self._answerer.queued(slot):
                content = await request.body(slot.loaded.settings.max_request_bytes)
                document = json_object(content)
                self._check_model(document.get("model"))
                endpoint = slot.loaded.predictor.endpoint
                _check_task(endpoint)
                asked = parse(document, endpoint)
                parsed = await parsed_off_loop(slot, content, lambda _slot, _content: _parsed(endpoint, asked, content))
                if not asked.stream:
                    slot, predictions, after = await self._answerer.answer(slot, parsed, context)
                    prompt_tokens = count_tokens(slot, parsed)
                    whole = _whole(form, slot, predictions, prompt_tokens)
                    return json_reply(whole, headers=slot.encoded_headers, after=after)
            stream = _Stream(self._answerer, form, slot, parsed, context, include_usage=asked.include_usage)
            try:
                await stream.begin()
            except RefusedRequest:
                champion = self._worker.slot_manager.current.champion
                if slot.role != "challenger" or context.version is not None or champion is None:
                    raise
                self._worker.slot_manager.judge(slot)
                stream = _Stream(self._answerer, form, champion, parsed, context, include_usage=asked.include_usage)
                await stream.begin()
            return StreamedReply(stream.events(), headers=stream.slot.encoded_headers)

    def _described(self) -> dict[str, Any]:
        champion = self._worker.slot_manager.current.champion
        created = int(champion.since) if champion else 0
        return {"id": self._worker.settings.model, "object": "model", "created": created, "owned_by": "modelyard"}

    def _check_model(self, name: Any) -> None:
        expected = self._worker.settings.model
        if name is None:
            raise openai_request.bad("model", f"the model is not named; this service has {expected}")
        if name != expected:
            message = f"this service has no such model; it has {expected}"
            raise RefusedRequest(404, "model_not_found", message, where="model", got=repr(name)[:80])


def _check_task(endpoint: EndpointSchema) -> None:
    if not writes_texts(endpoint):
        message = f"this model does not write texts; its own endpoint is /predict ({endpoint.summary})"
        raise RefusedRequest(404, "unsupported_model", message, where="model")


def _parsed(endpoint: EndpointSchema, asked: TextRequest, content: bytes) -> PredictionRequest:
    parameters = body.parameters(endpoint, orjson.dumps(asked.parameters).decode())
    return PredictionRequest(list(asked.prompts), parameters, len(content))


def _whole(form: AnswerForm, slot: ModelSlot, predictions: list[Prediction], prompt_tokens: int) -> dict[str, Any]:
    choices = [
        form.choice(index, str(one["text"]), _FINISH.get(one.get("stopped", "end"), "stop"))
        for index, one in enumerate(predictions)
    ]
    usage = _usage(prompt_tokens, sum(int(one.get("tokens", 0)) for one in predictions))
    return {**_head(form, form.kind, slot), "choices": choices, "usage": usage}


def _head(form: AnswerForm, kind: str, slot: ModelSlot) -> dict[str, Any]:
    return {
        "id": f"{form.prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": slot.about["name"],
        "system_fingerprint": f"fp_{slot.about['package'][:10]}",
    }


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class _Stream:
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
        head = _head(self._form, self._form.chunk_kind, self.slot)
        head |= {"usage": None} if self._include_usage else {}
        prompt_tokens = completion_tokens = 0
        try:
            for index, request in enumerate(self._requests):
                if index:
                    self._parts = parts(self._answerer, self.slot, request, self._context)
                    self._first = await anext(self._parts)
                last = self._first
                async for event, part in self._choice(head, index):
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
            yield _event({**head, "choices": [], "usage": _usage(prompt_tokens, completion_tokens)})
        yield b"data: [DONE]\n\n"

    async def _choice(self, head: Mapping[str, Any], index: int) -> AsyncIterator[tuple[bytes, StreamedPart]]:
        part, is_first, is_blank = self._first, True, self._form.is_chat
        while part is not None:
            text = part.text.lstrip() if is_blank else part.text
            is_blank = is_blank and not text
            finish = _FINISH.get(part.prediction.get("stopped", "end"), "stop") if part.prediction else None
            if text or is_first or finish:
                choice = self._form.part(index, text, finish, is_first=is_first)
                yield _event({**head, "choices": [choice]}), part
            is_first = False
            part = await anext(self._parts, None)


def _told(error: InferenceError | RefusedRequest) -> dict[str, Any]:
    if isinstance(error, RefusedRequest):
        return error_format.openai(error)
    return error_format.openai(RefusedRequest(500, failure(error), error.what, where=error.where))


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)
