"""The OpenAPI 3.1 document of a packaged model's service."""

from __future__ import annotations

from typing import Any

from components.inference.body import JSON, PARAMETERS
from components.tasks.task import EndpointSchema
from serving.problem import PROBLEM_TYPE
from serving.request import FORM
from serving.settings import ServingSettings


def document(settings: ServingSettings, wire: EndpointSchema) -> dict[str, Any]:
    """What `GET /openapi.json` answers; what goes in and what comes out is the task's own word."""
    schemas: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    if wire.parameters:
        schema = wire.parameters.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas["Parameters"] = schema
        beside = {PARAMETERS: _ref("Parameters")}
    batch = {"type": "array", "items": wire.schema, "minItems": 1, "maxItems": settings.max_batch_size}
    ways = [_object({key: schema}, beside) for key, schema in (
        (wire.item, wire.schema), (wire.items, batch), *wire.others.items())]  # fmt: skip
    body: dict[str, Any] = {JSON: {"schema": {"oneOf": ways}}}
    file = {"type": "string", "contentMediaType": wire.media[0]} if wire.media else {}
    if wire.media:
        body |= {FORM: {"schema": _object({wire.item: file}, beside)}}
        body |= {kind: {"schema": file} for kind in wire.media}
    problem = {PROBLEM_TYPE.decode(): {"schema": _ref("Problem")}}
    refusal = {"description": "refused, with the reason", "content": problem}
    answered = _json(_ref("Answer"))
    if wire.file:  # of one sample, to whoever accepts nothing else
        answered |= {wire.file.media: {"schema": {"type": "string", "contentMediaType": wire.file.media}}}
    answer = {"description": "one prediction a sample, in order", "content": answered}
    refused = (400, *((406,) if wire.file else ()), 409, 413, 415, 422, 429, 500, 503, 504)
    predict = {
        "operationId": "predict",
        "summary": wire.summary,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **{str(status): refusal for status in refused}},
    }
    about = {"description": "what this process serves", "content": _json({"type": "object"})}
    model = _object({"name": {"type": "string"}, "version": {"type": "string"}, "package": {"type": "string"}})
    texts = {key: {"type": "string"} for key in ("type", "title", "detail", "code")}
    return {
        "openapi": "3.1.0",
        "info": {"title": settings.model, "version": settings.version},
        "paths": {
            "/predict": {"post": predict},
            "/model": {"get": {"operationId": "model", "responses": {"200": about}}},
        },
        "components": {
            "schemas": {
                **schemas,
                "Prediction": wire.prediction,
                "Answer": _object({"predictions": {"type": "array", "items": _ref("Prediction")}, "model": model}),
                "Problem": _object({**texts, "status": {"type": "integer"}}, closed=False),
            }
        },
    }


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
