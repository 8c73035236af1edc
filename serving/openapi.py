"""The OpenAPI 3.1 document of a package's service: its endpoints, their limits, and examples from the package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from components.contracts.prediction_log import Feedback
from components.identity.package import Package
from components.inference import body
from components.inference.body import JSON, PARAMETERS
from components.tasks.task import EndpointSchema, Prediction
from serving import exchange, feedback
from serving.connection_limits import MAX_HEAD_BYTES, MAX_HEADERS
from serving.problem import PROBLEM_TYPE
from serving.protocols import openapi_paths
from serving.request import FORM
from serving.settings import ServingSettings

_ID = {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{16}$", "description": "of the prediction, for feedback"}
_FLAGS = {
    "type": "array",
    "items": {"type": "object"},
    "description": "expectations of the training data that samples miss: sample, column, value, expected",
}
MAX_EXAMPLES, MAX_EXAMPLE_BYTES = 3, 20_000


class RequestExample(NamedTuple):
    """A golden example: one sample as a value of a JSON request, and the answer to it."""

    name: str
    value: Any
    answer: Prediction


def examples(package: Package, wire: EndpointSchema) -> list[RequestExample]:
    """The first golden examples that are short enough to be read."""
    found = []
    for example in package.golden()[:MAX_EXAMPLES]:
        path = package.folder / "golden" / example.file
        if path.stat().st_size <= MAX_EXAMPLE_BYTES:
            value = body.value(wire, path.read_bytes(), example.media)
            found.append(RequestExample(example.file, value, example.answer))
    return found


def document(
    settings: ServingSettings,
    wire: EndpointSchema,
    shown: Iterable[RequestExample] = (),
    max_length: int | None = None,
    *,
    embeds: bool = False,
) -> dict[str, Any]:
    """What `GET /openapi.json` answers; what goes in and what comes out is the task's own word.

    Args:
        shown: examples of requests and answers.
        max_length: most tokens, steps or samples of one item that the network sees, where there is a limit.
        embeds: whether the model gives embeddings of texts.
    """
    schemas: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    if wire.parameters:
        schema = wire.parameters.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas["Parameters"] = schema
        beside = {PARAMETERS: _ref("Parameters")}
    limits = _limits(settings, wire, max_length)
    texts = {key: {"type": "string"} for key in ("type", "title", "detail", "code")}
    model = _object({"name": {"type": "string"}, "version": {"type": "string"}, "package": {"type": "string"}})
    about = {"description": "what this process serves", "content": _json({"type": "object"})}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.model,
            "version": settings.version,
            "description": _told(limits),
            "x-limits": limits,
        },
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": {
            "/predict": {"post": _predict(settings, wire, beside, list(shown))},
            "/explain": {"post": _explain(settings, wire, beside)},
            "/feedback": {"post": _feedback()},
            "/model": {"get": {"operationId": "model", "responses": {"200": about, **_refusals((503,))}}},
            **openapi_paths.paths(settings.model, wire, embeds=embeds),
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where the service has any"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {
                **schemas,
                **openapi_paths.SCHEMAS,
                "Prediction": wire.prediction,
                "Answer": _object(
                    {"predictions": {"type": "array", "items": _ref("Prediction")}, "model": model, "id": _ID},
                    {"flags": _FLAGS} if settings.enforce == "flag" else None,
                ),
                "Problem": _object({**texts, "status": {"type": "integer"}}, closed=False),
            },
        },
    }


def _feedback() -> dict[str, Any]:
    one = Feedback.model_json_schema()
    one["properties"]["id"] = _ID
    told = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": feedback.MOST}]}
    notes = {"type": "array", "items": {"type": "string"}, "description": "truths that are no class of the model"}
    accepted = _object({"accepted": {"type": "integer"}}, {"notes": notes})
    return {
        "operationId": "feedback",
        "summary": "Tell the truth of earlier predictions",
        "requestBody": {"required": True, "content": _json(told)},
        "responses": {
            "202": {"description": "it is kept", "content": _json(accepted)},
            **_refusals((400, 401, 404, 408, 413, 415, 422, 431, 503)),
        },
    }


def _explain(settings: ServingSettings, wire: EndpointSchema, beside: dict[str, Any]) -> dict[str, Any]:
    number, text = {"type": "number"}, {"type": "string"}
    found = {
        "kind": {"enum": ["image", "spectrogram", "series", "text", "row"]},
        "model": {"type": "object"},
    }
    optional = {
        "method": {"const": "occlusion"},
        "label": {"type": ["string", "null"], "description": "whose probability is followed; null: a number is"},
        "score": number,
        "effects": {"type": "array", "description": "of each part, or rows of a grid: by how much the score falls"},
        "parts": {"type": "array", "items": {"type": "object"}},
        "input": {"type": "object", "description": "what the network sees"},
    }
    query = [
        {"name": "label", "in": "query", "schema": text, "description": "follow this label instead of the answer's"},
        {"name": "effects", "in": "query", "schema": {"enum": ["none"]}, "description": "none: the input alone"},
    ]
    return {
        "operationId": "explain",
        "summary": "What the answer to one sample depends on",
        "parameters": query,
        "requestBody": {"required": True, "content": _samples(settings, wire, beside)},
        "responses": {
            "200": {"description": "effects of occluded parts", "content": _json(_object(found, optional))},
            **_refusals((400, 401, 408, 409, 413, 415, 422, 429, 431, 500, 503, 504)),
        },
    }


def _samples(settings: ServingSettings, wire: EndpointSchema, beside: dict[str, Any]) -> dict[str, Any]:
    """The bodies of a request with samples, by media type."""
    sample = _bounded(wire.schema, settings)
    batch = {"type": "array", "items": sample, "minItems": 1, "maxItems": settings.max_batch_size}
    others = {key: {**schema, "maxItems": settings.max_batch_size} for key, schema in wire.others.items()}
    ways = [_object({key: schema}, beside) for key, schema in (
        (wire.item, sample), (wire.items, batch), *others.items())]  # fmt: skip
    content: dict[str, Any] = {JSON: {"schema": {"oneOf": ways}}}
    if wire.media:
        file = {"type": "string", "contentMediaType": wire.media[0], "maxLength": settings.max_request_bytes}
        content |= {FORM: {"schema": _object({wire.item: file}, beside)}}
        content |= {kind: {"schema": file} for kind in wire.media}
    return content


def _predict(
    settings: ServingSettings, wire: EndpointSchema, beside: dict[str, Any], shown: list[RequestExample]
) -> dict[str, Any]:
    content = _samples(settings, wire, beside)
    if requests := {one.name: {"value": {wire.item: one.value}} for one in shown}:
        content[JSON]["examples"] = requests
    answered = _json(_ref("Answer"))
    if shown:
        about = {"name": settings.model, "version": settings.version, "package": ""}
        answers = {
            one.name: {"value": {"predictions": [one.answer], "model": about, "id": "6a2b3c4d-0123456789abcdef"}}
            for one in shown
        }
        answered[JSON]["examples"] = answers
    if wire.file:  # of one sample, to whoever accepts nothing else
        answered |= {wire.file.media: {"schema": {"type": "string", "contentMediaType": wire.file.media}}}
    refused = (400, 401, *((406,) if wire.file else ()), 408, 409, 413, 415, 422, 429, 431, 500, 503, 504)
    return {
        "operationId": "predict",
        "summary": wire.summary,
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "one prediction a sample, in order", "content": answered},
            **_refusals(refused),
        },
    }


def _limits(settings: ServingSettings, wire: EndpointSchema, max_length: int | None) -> dict[str, Any]:
    """What the service refuses beyond, by name with its unit."""
    found = {
        "body_bytes": settings.max_request_bytes,
        f"{wire.items}_a_request": settings.max_batch_size,
        "image_pixels": settings.max_image_pixels if wire.form == "image" else None,
        "length": max_length,
        "queued_requests": settings.max_queue,
        "seconds_to_begin": settings.timeout_seconds,
        "body_seconds": exchange.BODY_SECONDS,
        "body_bytes_a_second": exchange.BODY_RATE,
        "head_bytes": MAX_HEAD_BYTES,
        "headers": MAX_HEADERS,
    }
    return {name: value for name, value in found.items() if value is not None}


def _told(limits: dict[str, Any]) -> str:
    return "Limits: " + "; ".join(f"{name.replace('_', ' ')} {value:,.15g}" for name, value in limits.items())


def _bounded(schema: dict[str, Any], settings: ServingSettings) -> dict[str, Any]:
    """The schema of a sample; a text is never longer than a body."""
    if schema.get("type") == "string" and "maxLength" not in schema:
        return {**schema, "maxLength": settings.max_request_bytes}
    if "anyOf" in schema:
        return {**schema, "anyOf": [_bounded(one, settings) for one in schema["anyOf"]]}
    return schema


def _refusals(statuses: Iterable[int]) -> dict[str, Any]:
    problem = {PROBLEM_TYPE.decode(): {"schema": _ref("Problem")}}
    return {str(status): {"description": "refused, with the reason", "content": problem} for status in statuses}


def _object(
    properties: dict[str, Any], optional: dict[str, Any] | None = None, *, closed: bool = True
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": not closed,
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
