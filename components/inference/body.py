"""A request's body -> the items that a task reads, and parameters. The service and every proof read bodies here.

A body is one sample as a file or text, of a media type that the task names, or JSON with one of the keys it names:

    {"image": ...}    {"images": [..., ...]}    {"pixels": ...}    and, if the task has any: "parameters": {...}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks.task import EndpointSchema, Processor

JSON = "application/json"
PARAMETERS = "parameters"
ENCODED = "base64"
# From this size on a body is parsed so that other threads run meanwhile: some milliseconds of parsing.
LARGE_BYTES = 100_000


class Body(NamedTuple):
    """What a request asks about: items for `Predictor.read`, and what it sets beside them."""

    items: list[Any]
    parameters: Strict | None = None


def takes(wire: EndpointSchema, media: str) -> bool:
    """Whether a body of that media type is one sample."""
    return any(media == kind or (kind.endswith("/*") and media.startswith(kind[:-1])) for kind in wire.media)


def read(processor: Processor, wire: EndpointSchema, content: bytes, media: str) -> Body:
    """The items of a body; a media type other than JSON is taken as the task's own.

    Raises:
        SampleError: it does not fit; its code is `json`, `keys`, `type`, `base64`, `parameters`, or the task's own.
    """
    return of_json(processor, wire, content) if media == JSON else Body([content])


def of_json(processor: Processor, wire: EndpointSchema, content: bytes) -> Body:
    """The items of a JSON body.

    Raises:
        SampleError: as `read`.
    """
    try:
        document = _parsed(content)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"the body is no JSON: {error}", code="json") from error
    keys = [wire.item, wire.items, *wire.others]
    found = [key for key in document if key != PARAMETERS] if isinstance(document, dict) else []
    if len(found) != 1 or found[0] not in keys:
        got = sorted(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise SampleError("one key is expected", code="keys", got=got, expected=" or ".join(keys))
    key = found[0]
    if key == wire.items and not isinstance(document[key], list):
        raise SampleError(f"{key} must be a list", code="type", got=type(document[key]).__name__)
    set_beside = parameters(wire, json.dumps(document[PARAMETERS])) if PARAMETERS in document else None
    if key in wire.others or wire.schema.get("contentEncoding") != ENCODED:
        return Body(processor.items(document), set_beside)
    texts = document[key] if key == wire.items else [document[key]]
    return Body([_decoded(f"{wire.item} {position}", text) for position, text in enumerate(texts)], set_beside)


def parameters(wire: EndpointSchema, text: str) -> Strict:
    """What a request sets beside its samples, from JSON text.

    Raises:
        SampleError: the task takes none, or not these.
    """
    if wire.parameters is None:
        raise SampleError("this task takes no parameters", code="keys", got=PARAMETERS)
    try:
        return wire.parameters.model_validate_json(text)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc'])) or PARAMETERS}: {one['msg']}" for one in error.errors()]
        expected = ", ".join(wire.parameters.model_fields)
        raise SampleError("; ".join(wrong), code=PARAMETERS, where=PARAMETERS, expected=expected) from error


def joined(wire: EndpointSchema, bodies: list[tuple[bytes, str]]) -> Mapping[str, Any]:
    """The JSON document that asks for several bodies at once, each of one sample and without parameters."""
    return {wire.items: [value(wire, content, media) for content, media in bodies]}


def value(wire: EndpointSchema, content: bytes, media: str) -> Any:
    """The one sample of a body as a JSON request holds it."""
    if media == JSON:
        return json.loads(content)[wire.item]
    encoded = wire.schema.get("contentEncoding") == ENCODED
    return base64.b64encode(content).decode() if encoded else content.decode()


def _parsed(content: bytes) -> Any:
    """The JSON of a body.

    Python's parser keeps the interpreter's lock from its begin to its end. A function of ours that makes the numbers
    gives the lock to other threads when they ask for it.
    """
    if len(content) < LARGE_BYTES:
        return json.loads(content)
    return json.loads(content, parse_float=lambda text: float(text), parse_int=lambda text: int(text))


def _decoded(what: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise SampleError(f"{what} must be base64 text", code="type", got=type(text).__name__)
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SampleError(f"{what} is no base64: {error}", code=ENCODED) from error
