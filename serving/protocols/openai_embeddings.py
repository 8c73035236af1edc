"""OpenAI's /v1/embeddings, for packages whose graph has an embedding of a text.

Source: https://platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import InferenceError, SampleError
from components.inference.predictor import Predictor
from serving.answering import Answerer, Context
from serving.exchange import Answer, HttpRequest, json_reply
from serving.native import context_of, refusing
from serving.problem import RefusedRequest
from serving.protocols.call import json_object
from serving.protocols.openai_request import bad
from serving.request import PredictionRequest, check_count
from serving.slots import ModelSlot, failure
from serving.streaming import count_tokens
from serving.worker import Worker

_READ = {"model", "input", "encoding_format", "user"}


class OpenAIEmbeddings:
    """Answers /v1/embeddings."""

    def __init__(self, answerer: Answerer, worker: Worker) -> None:
        self._answerer, self._worker = answerer, worker

    async def embeddings(self, request: HttpRequest) -> Answer:
        """The embeddings of one or several texts.

        Raises:
            RefusedRequest: with the slot that refused it, once there is one.
        """
        context = context_of(request, self._worker.settings)
        slot = self._answerer.choose(context)
        with refusing(slot), self._answerer.queued(slot):
            content = await request.body(slot.loaded.settings.max_request_bytes)
            document = json_object(content)
            texts, as_base64 = _read(document, slot)
            parsed = PredictionRequest(list(texts), None, len(content))
            check_count(len(texts), slot.loaded.settings, slot.loaded.predictor.endpoint)
            rows = await self._computed(slot, parsed, context)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(row) if as_base64 else row.tolist()}
            for index, row in enumerate(rows)
        ]
        tokens = count_tokens(slot, parsed)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        about = {"object": "list", "data": data, "model": slot.about["name"], "usage": usage}
        return json_reply(about, headers=slot.encoded_headers)

    async def _computed(self, slot: ModelSlot, parsed: PredictionRequest, context: Context) -> NDArray[np.float32]:
        predictor = slot.loaded.predictor

        def compute() -> NDArray[np.float32]:
            if context.is_gone():
                raise RefusedRequest(499, "disconnected", "the client went away")
            if time.monotonic() > context.until:
                raise RefusedRequest(504, "deadline", "the request waited too long")
            samples, judgement = slot.accept(parsed)
            context.note(judgement)
            return predictor.embed(samples)

        try:
            return await asyncio.get_running_loop().run_in_executor(slot.threads, compute)
        except SampleError as error:
            raise RefusedRequest.of(error, predictor.endpoint.item) from error
        except InferenceError as error:
            slot.fail(failure(error))
            raise RefusedRequest(500, failure(error), error.what, where=error.where) from error


def embeds_texts(predictor: Predictor) -> bool:
    """Whether a model gives embeddings of texts, which alone the protocol has."""
    return predictor.embeds and predictor.endpoint.form == "text"


def _read(document: Mapping[str, Any], slot: ModelSlot) -> tuple[list[str], bool]:
    """The texts of a request, and whether the embeddings are wanted as base64."""
    expected = slot.about["name"]
    if document.get("model") is None:
        raise bad("model", f"the model is not named; this service has {expected}")
    if document.get("model") != expected:
        message = f"this service has no such model; it has {expected}"
        raise RefusedRequest(404, "model_not_found", message, where="model", got=repr(document.get("model"))[:80])
    if not embeds_texts(slot.loaded.predictor):
        raise RefusedRequest(404, "unsupported_model", "this model gives no embeddings of texts", where="model")
    for name, value in document.items():
        if name not in _READ and value is not None:
            raise bad(name, "this parameter is not supported", repr(value)[:40])
    texts = document.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise bad("input", "input is a text or a list of texts; tokens are not read", type(texts).__name__)
    form = document.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise bad("encoding_format", "float and base64 are supported", repr(form)[:40])
    return texts, form == "base64"


def _encoded(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
