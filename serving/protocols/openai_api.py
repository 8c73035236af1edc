"""OpenAI's API for models that write texts: /v1/completions, /v1/chat/completions, /v1/models; and embeddings.

Source: https://platform.openai.com/docs/api-reference. Streamed answers are server-sent events and end with `[DONE]`; a
client that goes away ends the computation at the next token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from components.inference import body
from components.tasks.task import EndpointSchema
from serving.answering import Answerer
from serving.exchange import Answer, HttpRequest, StreamedReply, json_reply
from serving.native import context_of, refusing
from serving.problem import RefusedRequest
from serving.protocols import openai_request
from serving.protocols.call import json_object, parsed_off_loop
from serving.protocols.openai_answers import CHAT, COMPLETION, AnswerForm, whole
from serving.protocols.openai_embeddings import OpenAIEmbeddings
from serving.protocols.openai_request import TextRequest
from serving.protocols.openai_stream import TextStream
from serving.protocols.openapi_paths import writes_texts
from serving.request import PredictionRequest
from serving.router import Routes
from serving.streaming import count_tokens
from serving.worker import Worker

Parse = Callable[[Mapping[str, Any], EndpointSchema], TextRequest]


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
                    slot, predictions, after, _ = await self._answerer.answer(slot, parsed, context)
                    prompt_tokens = count_tokens(slot, parsed)
                    return json_reply(
                        whole(form, slot, predictions, prompt_tokens), headers=slot.encoded_headers, after=after
                    )
            stream = TextStream(self._answerer, form, slot, parsed, context, include_usage=asked.include_usage)
            try:
                await stream.begin()
            except RefusedRequest:
                champion = self._worker.slot_manager.current.champion
                if slot.role != "challenger" or context.version is not None or champion is None:
                    raise
                self._worker.slot_manager.judge(slot)
                stream = TextStream(self._answerer, form, champion, parsed, context, include_usage=asked.include_usage)
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
