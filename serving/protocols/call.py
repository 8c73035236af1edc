"""What every protocol does between its request and its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import orjson

from components.core.errors import SampleError
from components.inference.body import LARGE_BYTES
from serving.answering import Answered, Answerer, Context
from serving.exchange import HttpRequest
from serving.native import refusing
from serving.problem import RefusedRequest
from serving.request import PredictionRequest, check_count
from serving.settings import ServingSettings
from serving.slots import ModelSlot

Parse = Callable[[ModelSlot, bytes], PredictionRequest]

_LARGE_BODIES = ThreadPoolExecutor(1, "protocol-bodies")


class Call(NamedTuple):
    """The prediction of a request, and how it was parsed."""

    parsed: PredictionRequest
    answered: Answered


async def predict(
    answerer: Answerer, settings: ServingSettings, request: HttpRequest, context: Context, parse: Parse
) -> Call:
    """Choose a slot, take a place in its queue, read and parse the body, and predict.

    Args:
        parse: the items of a body; large bodies are parsed in a thread.

    Raises:
        RefusedRequest: the request is not answered; with the slot that refused it, once there is one.
    """
    slot = answerer.choose(context)
    with refusing(slot), answerer.queued(slot):
        content = await request.body(settings.max_request_bytes)
        parsed = await parsed_off_loop(slot, content, parse)
        return Call(parsed, await answerer.answer(slot, parsed, context))


async def parsed_off_loop(slot: ModelSlot, content: bytes, parse: Parse) -> PredictionRequest:
    """The parsed body; a large one is parsed in a thread.

    Raises:
        RefusedRequest: a sample does not fit, there is none, or there are too many.
    """
    endpoint = slot.loaded.predictor.endpoint
    try:
        if len(content) < LARGE_BYTES:
            parsed = parse(slot, content)
        else:
            parsed = await asyncio.get_running_loop().run_in_executor(_LARGE_BODIES, parse, slot, content)
    except SampleError as error:
        raise RefusedRequest.of(error, endpoint.item) from error
    check_count(len(parsed.items), slot.loaded.settings, endpoint)
    return parsed


def json_object(content: bytes) -> dict[str, Any]:
    """A body of one JSON object.

    Raises:
        RefusedRequest: 400, it is no JSON (NaN and infinity are none), is nested too deeply, or is no object.
    """
    try:
        document = orjson.loads(content)
    except ValueError as error:
        raise RefusedRequest(400, "json", f"the body is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise RefusedRequest(400, "json", "the body is no JSON object", got=type(document).__name__)
    return document
