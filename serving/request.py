"""From an HTTP request to images or pixels. What does not fit is refused with a status that says why.

400 no JSON, no base64 · 413 too large · 415 unknown content type · 422 no image, wrong shape, empty, too many
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from serving.settings import ServingSettings

ACCEPTED = "application/json, multipart/form-data, image/*, application/octet-stream"

Images = list[bytes]
Pixels = npt.NDArray[np.uint8]


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


async def read(request: Request, settings: ServingSettings) -> Images | Pixels:
    """Encoded images, or pixels (N, H, W[, C]) uint8.

    Raises:
        RefusedRequest: the request does not fit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        found = _from_json(await _body(request, settings.max_request_bytes))
    elif kind == "multipart/form-data":
        found = await _from_form(request, settings)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = [await _body(request, settings.max_request_bytes)]
    else:
        raise RefusedRequest(415, "content_type", "this content type is not read", got=kind or None, expected=ACCEPTED)
    if len(found) == 0:
        raise RefusedRequest(422, "empty", "no image in the request", expected="at least one")
    if len(found) > settings.max_batch_size:
        raise RefusedRequest(
            422, "too_many", "too many images in one request", got=len(found), expected=settings.max_batch_size
        )
    return found


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


def _from_json(body: bytes) -> Images | Pixels:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest(400, "json", f"the body is no JSON: {error}") from error
    keys = {"image", "images", "pixels"}
    if not isinstance(document, dict) or len(document) != 1 or not keys & document.keys():
        got = sorted(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise RefusedRequest(422, "keys", "one key is expected", got=got, expected="image, images or pixels")
    key, value = next(iter(document.items()))
    if key == "pixels":
        return _pixels(value)
    texts = [value] if key == "image" else value
    if not isinstance(texts, list):
        raise RefusedRequest(422, "type", "images must be a list", got=type(texts).__name__)
    return [_from_base64(index, text) for index, text in enumerate(texts)]


def _from_base64(index: int, text: Any) -> bytes:
    if not isinstance(text, str):
        raise RefusedRequest(422, "type", f"image {index} must be base64 text", got=type(text).__name__)
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedRequest(400, "base64", f"image {index} is no base64: {error}") from error


def _pixels(value: Any) -> Pixels:
    try:
        numbers = np.asarray(value)
    except ValueError as error:
        raise RefusedRequest(422, "shape", "pixels must be nested lists of equal lengths") from error
    if numbers.size == 0:
        raise RefusedRequest(422, "empty", "no image in the request", expected="at least one")
    if numbers.dtype.kind not in "iu":
        raise RefusedRequest(422, "type", "pixels must be whole numbers", got=str(numbers.dtype), expected="0 to 255")
    if numbers.min() < 0 or numbers.max() > 255:
        raise RefusedRequest(422, "range", "a pixel is out of range", expected="0 to 255")
    if numbers.ndim not in (3, 4):
        raise RefusedRequest(
            422, "shape", "pixels of the wrong shape", got=list(numbers.shape), expected="(N, H, W, C)"
        )
    pixels = numbers.astype(np.uint8)
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


async def _from_form(request: Request, settings: ServingSettings) -> Images:
    limited = Request(request.scope, _replay(_limited(request, settings.max_request_bytes)))
    try:
        async with limited.form(max_files=settings.max_batch_size + 1, max_fields=16) as form:
            uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not uploads:
                raise RefusedRequest(422, "empty", "no file in the form", expected="a file in the field image")
            return [await upload.read() for upload in uploads]
    except (MultiPartException, HTTPException) as error:
        detail = error.message if isinstance(error, MultiPartException) else error.detail
        raise RefusedRequest(400, "form", f"the form cannot be read: {detail}") from error


def _replay(pieces: AsyncIterator[bytes]) -> Any:
    async def receive() -> dict[str, Any]:
        async for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
