"""Reads a request's body into a task's items and parameters, for the service and for all gates.

A body is one sample as a file or text with a media type of the task's endpoint, or JSON with one key of the endpoint:

    {"image": ...}    {"images": [..., ...]}    {"pixels": ...}    and, if the task has any: "parameters": {...}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks.task import EndpointSchema, Processor

JSON = "application/json"
PARAMETERS = "parameters"
ENCODED = "base64"
# Bodies of this size and larger take milliseconds to parse, so they are parsed in a thread; from HUGE_BYTES on their
# parser lets other threads run.
LARGE_BYTES = 100_000
HUGE_BYTES = 1_000_000
# Digits become 0 and all else a space, so that a long integer is found without a loop in Python.
_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG_INTEGER = b"0" * 19


class Body(NamedTuple):
    """The content of a request: items for `Predictor.read`, and parameters."""

    items: list[Any]
    parameters: Strict | None = None


def takes(wire: EndpointSchema, media: str) -> bool:
    """Whether a body of that media type is one sample."""
    return any(media == kind or (kind.endswith("/*") and media.startswith(kind[:-1])) for kind in wire.media)


def read(processor: Processor, wire: EndpointSchema, content: bytes, media: str) -> Body:
    """The items of a body; a body of a media type other than JSON is one sample.

    Raises:
        SampleError: the body does not fit; the code is `json`, `keys`, `type`, `base64`, `parameters`, or a task's.
    """
    return of_json(processor, wire, content) if media == JSON else Body([content])


def of_json(processor: Processor, wire: EndpointSchema, content: bytes) -> Body:
    """The items of a JSON body.

    Raises:
        SampleError: as in `read`.
    """
    try:
        document = _parsed(content)
    except RecursionError as error:
        raise SampleError("the body is no JSON: it is nested too deep", code="json") from error
    except ValueError as error:
        raise SampleError(f"the body is no JSON: {error}", code="json") from error
    return of_document(processor, wire, document)


def of_document(processor: Processor, wire: EndpointSchema, document: Any) -> Body:
    """The items of a parsed JSON body.

    Raises:
        SampleError: as in `read`.
    """
    keys = [wire.item, wire.items, *wire.others]
    used = [key for key in document if key != PARAMETERS] if isinstance(document, dict) else []
    if len(used) != 1 or used[0] not in keys:
        got = sorted(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise SampleError("one key is expected", code="keys", got=got, expected=" or ".join(keys))
    key = used[0]
    if key == wire.items and not isinstance(document[key], list):
        raise SampleError(f"{key} must be a list", code="type", got=type(document[key]).__name__)
    values = parameters(wire, json.dumps(document[PARAMETERS])) if PARAMETERS in document else None
    if key in wire.others or wire.schema.get("contentEncoding") != ENCODED:
        return Body(processor.items(document), values)
    texts = document[key] if key == wire.items else [document[key]]
    return Body([_decoded(f"{wire.item} {position}", text) for position, text in enumerate(texts)], values)


def parameters(wire: EndpointSchema, text: str) -> Strict:
    """A request's parameters, from JSON text.

    Raises:
        SampleError: the task has no parameters, or refuses the values.
    """
    if wire.parameters is None:
        raise SampleError("this task takes no parameters", code="keys", got=text[:80])
    try:
        return wire.parameters.model_validate_json(text)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc'])) or PARAMETERS}: {one['msg']}" for one in error.errors()]
        expected = ", ".join(wire.parameters.model_fields)
        raise SampleError("; ".join(wrong), code=PARAMETERS, where=PARAMETERS, expected=expected) from error


def joined(wire: EndpointSchema, bodies: list[tuple[bytes, str]]) -> Mapping[str, Any]:
    """One JSON request for several bodies, each of one sample and without parameters."""
    return {wire.items: [value(wire, content, media) for content, media in bodies]}


def value(wire: EndpointSchema, content: bytes, media: str) -> Any:
    """The one sample of a body as a value in a JSON request."""
    if media == JSON:
        return json.loads(content)[wire.item]
    encoded = wire.schema.get("contentEncoding") == ENCODED
    return base64.b64encode(content).decode() if encoded else content.decode()


def _parsed(content: bytes) -> Any:
    """The JSON of a body.

    orjson is several times as fast, but turns integers of more than 64 bits into floats: these are
    Python's to read.
    Both parsers hold the interpreter's lock during the whole parse. Of a body of megabytes, Python functions that
    convert the numbers release the lock for other threads.
    """
    if len(content) >= HUGE_BYTES:
        return json.loads(content, parse_float=lambda text: float(text), parse_int=lambda text: int(text))
    if _LONG_INTEGER not in content.translate(_DIGITS):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            pass  # NaN, which tasks refuse in their own words, or none at all, which Python's parser explains
    return json.loads(content)


def _decoded(what: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise SampleError(f"{what} must be base64 text", code="type", got=type(text).__name__)
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SampleError(f"{what} is no base64: {error}", code=ENCODED) from error
