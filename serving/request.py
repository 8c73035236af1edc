"""From an HTTP request to what its task reads. What does not fit is refused with a status that says why.

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
from starlette.requests import ClientDisconnect, Request

from components.contracts.serving_spec import FORMER_VERSION_HEADER, VERSION_HEADER
from components.core.errors import SampleError
from components.core.strict import Strict
from components.inference import body
from components.inference.predictor import Predictor
from components.tasks.task import AnsweredFile, EndpointSchema
from serving.settings import ServingSettings

FORM = "multipart/form-data"
UNREADABLE = ("json", "base64")  # 400: not even the body can be read; all else that is wrong with a sample is 422


class Found(NamedTuple):
    """What a request asks: items as they came, what it sets beside them, and how many bytes it has."""

    items: list[Any]
    parameters: Strict | None
    size: int


class RefusedRequest(Exception):
    """A request that is not answered.

    Args:
        status: the HTTP status, 4xx, 503, or 500 where the model failed.
        code: one word for machines.
    """

    def __init__(self, status: int, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **{k: v for k, v in facts.items() if v is not None}}}

    @staticmethod
    def of(error: SampleError, item: str) -> RefusedRequest:
        """The refusal of a sample; without a word of its own it is named after what the task takes."""
        code = error.code or item
        facts = {"where": error.where, "got": error.got, "expected": error.expected}
        return RefusedRequest(400 if code in UNREADABLE else 422, code, error.what, **facts)


async def read(request: Request, settings: ServingSettings, predictor: Predictor, threads: Executor) -> Found:
    """What a request asks.

    Args:
        threads: where large bodies are parsed, so that the event loop serves other requests meanwhile.

    Raises:
        RefusedRequest: the request does not fit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    wire = predictor.endpoint
    try:
        if kind == FORM and wire.media:
            found = await _from_form(request, settings, predictor)
        elif kind == body.JSON or body.takes(wire, kind):
            content = await _body(request, settings.max_request_bytes)
            if len(content) < body.LARGE_BYTES:
                items = body.read(predictor.processor, wire, content, kind)
            else:
                loop = asyncio.get_running_loop()
                items = await loop.run_in_executor(threads, body.read, predictor.processor, wire, content, kind)
            found = Found(*items, len(content))
        else:
            raise RefusedRequest(
                415, "content_type", "this content type is not read", got=kind or None, expected=accepted(predictor)
            )
    except SampleError as error:
        raise RefusedRequest.of(error, wire.item) from error
    if len(found.items) == 0:
        raise RefusedRequest(422, "empty", f"no {wire.item} in the request", expected="at least one")
    if len(found.items) > settings.max_batch_size:
        got, expected = len(found.items), settings.max_batch_size
        raise RefusedRequest(422, "too_many", f"too many {wire.items} in one request", got=got, expected=expected)
    return found


def named_version(request: Request) -> str | None:
    """The version that a request's header names, by number or package digest; None: the service chooses."""
    return request.headers.get(VERSION_HEADER, request.headers.get(FORMER_VERSION_HEADER))


def wanted_file(request: Request, wire: EndpointSchema, found: Found) -> AnsweredFile | None:
    """The file that a request wants instead of JSON, if any.

    Raises:
        RefusedRequest: it has several samples, and a response is one file.
    """
    if wire.file is None:
        return None
    kinds = {kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(",")}
    if body.JSON in kinds or not kinds & {wire.file.media, f"{wire.file.media.partition('/')[0]}/*"}:
        return None
    if len(found.items) > 1:
        expected = f"one {wire.item}, or accept: {body.JSON}"
        raise RefusedRequest(406, "accept", "a response is one file", got=len(found.items), expected=expected)
    return wire.file


def accepted(predictor: Predictor) -> str:
    """The content types that are read, in words."""
    media = predictor.endpoint.media
    return ", ".join([body.JSON, *((FORM,) if media else ()), *media])


async def _body(request: Request, limit: int) -> bytes:
    pieces: list[bytes] = []
    async for piece in _limited(request, limit):
        pieces.append(piece)
    return b"".join(pieces)


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise RefusedRequest(413, "too_large", "the request is too large", got=int(said), expected=f"{limit} bytes")
    total = 0
    try:
        async for piece in request.stream():
            total += len(piece)
            if total > limit:
                raise RefusedRequest(413, "too_large", "the request is too large", expected=f"{limit} bytes")
            yield piece
    except ClientDisconnect as error:
        raise RefusedRequest(400, "disconnected", "the client went away") from error


async def _from_form(request: Request, settings: ServingSettings, predictor: Predictor) -> Found:
    """Every file is one sample; a field `parameters` holds JSON."""
    limited = Request(request.scope, _replay(_limited(request, settings.max_request_bytes)))
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
    set_beside = body.parameters(predictor.endpoint, text) if isinstance(text, str) else None
    return Found(list(files), set_beside, sum(map(len, files)))


def _replay(pieces: AsyncIterator[bytes]) -> Any:
    async def receive() -> dict[str, Any]:
        async for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
