"""Parse an HTTP request into the items of its task, or refuse it with a status.

400 no JSON, no base64 · 406 several, and a file is wanted · 413 too large · 415 unknown content type
422 no sample of this task, empty, too many
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from components.contracts.serving_spec import FORMER_VERSION_HEADER, VERSION_HEADER
from components.core.errors import SampleError
from components.core.strict import Strict
from components.inference import body
from components.inference.predictor import Predictor
from components.tasks.task import AnsweredFile, EndpointSchema
from serving.exchange import HttpRequest
from serving.problem import RefusedRequest
from serving.settings import ServingSettings

FORM = "multipart/form-data"
_VERSIONS = tuple(name.lower().encode() for name in (VERSION_HEADER, FORMER_VERSION_HEADER))


class PredictionRequest(NamedTuple):
    """A parsed request: its items, its parameters, and its size in bytes."""

    items: list[Any]
    parameters: Strict | None
    size: int


async def read(
    request: HttpRequest, settings: ServingSettings, predictor: Predictor, threads: Executor
) -> PredictionRequest:
    """Parse a request.

    Args:
        threads: the pool that parses large bodies, so that the event loop serves other requests meanwhile.

    Raises:
        RefusedRequest: the request is not valid.
    """
    kind, wire = request.media_type, predictor.endpoint
    try:
        if kind == body.JSON or body.takes(wire, kind):
            content = await request.body(settings.max_request_bytes)
            if len(content) < body.LARGE_BYTES:
                items = body.read(predictor.processor, wire, content, kind)
            else:
                loop = asyncio.get_running_loop()
                items = await loop.run_in_executor(threads, body.read, predictor.processor, wire, content, kind)
            parsed = PredictionRequest(*items, len(content))
        elif kind == FORM and wire.media:
            parsed = await _from_form(request, settings, predictor)
        else:
            raise RefusedRequest(
                415, "content_type", "this content type is not read", got=kind or None, expected=accepted(predictor)
            )
    except SampleError as error:
        raise RefusedRequest.of(error, wire.item) from error
    check_count(len(parsed.items), settings, wire)
    return parsed


def check_count(count: int, settings: ServingSettings, wire: EndpointSchema) -> None:
    """Refuse a request without samples, or with too many.

    Raises:
        RefusedRequest: 422.
    """
    if count == 0:
        raise RefusedRequest(422, "empty", f"no {wire.item} in the request", expected="at least one")
    if count > settings.max_batch_size:
        expected = settings.max_batch_size
        raise RefusedRequest(422, "too_many", f"too many {wire.items} in one request", got=count, expected=expected)


def named_version(request: HttpRequest) -> str | None:
    """The version that a request's header names, by number or package digest; None: the service chooses."""
    found = request.header(_VERSIONS[0])
    return found if found is not None else request.header(_VERSIONS[1])


def requested_file(request: HttpRequest, wire: EndpointSchema, parsed: PredictionRequest) -> AnsweredFile | None:
    """The file that a request accepts instead of JSON, if any.

    Raises:
        RefusedRequest: it has several samples, and a response is one file.
    """
    if wire.file is None:
        return None
    kinds = {kind.partition(";")[0].strip().lower() for kind in (request.header(b"accept") or "").split(",")}
    if body.JSON in kinds or not kinds & {wire.file.media, f"{wire.file.media.partition('/')[0]}/*"}:
        return None
    if len(parsed.items) > 1:
        expected = f"one {wire.item}, or accept: {body.JSON}"
        raise RefusedRequest(406, "accept", "a response is one file", got=len(parsed.items), expected=expected)
    return wire.file


def accepted(predictor: Predictor) -> str:
    """The content types that are accepted, as text."""
    media = predictor.endpoint.media
    return ", ".join([body.JSON, *((FORM,) if media else ()), *media])


async def _from_form(request: HttpRequest, settings: ServingSettings, predictor: Predictor) -> PredictionRequest:
    """Every file is one sample; a field `parameters` holds JSON."""
    limited = Request(request.scope, _replay(request.stream(settings.max_request_bytes)))
    try:
        async with limited.form(max_files=settings.max_batch_size + 1, max_fields=16) as form:
            uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not uploads:
                expected = f"a file in the field {predictor.endpoint.item}"
                raise RefusedRequest(422, "empty", "no file in the form", expected=expected)
            files = [await upload.read() for upload in uploads]
            text = form.get(body.PARAMETERS)
    except (MultiPartException, HTTPException) as error:
        detail = error.message if isinstance(error, MultiPartException) else error.detail
        raise RefusedRequest(400, "form", f"the form cannot be read: {detail}") from error
    parameters = body.parameters(predictor.endpoint, text) if isinstance(text, str) else None
    return PredictionRequest(list(files), parameters, sum(map(len, files)))


def _replay(pieces: AsyncIterator[bytes]) -> Any:
    async def receive() -> dict[str, Any]:
        async for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
