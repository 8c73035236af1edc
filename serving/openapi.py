"""The OpenAPI 3.1 document of a packaged model's service."""

from __future__ import annotations

from typing import Any

from components.contracts.package import Signature
from serving.settings import ServingSettings


def document(settings: ServingSettings, signature: Signature) -> dict[str, Any]:
    """What `GET /openapi.json` answers; shapes and class names are the package's own."""
    encoded = {"type": "string", "contentEncoding": "base64", "description": "an image file, base64"}
    pixels: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}
    for size in reversed(signature.input_shape[1:]):
        pixels = {"type": "array", "items": pixels, "minItems": size, "maxItems": size}
    images = {"type": "array", "items": encoded, "minItems": 1, "maxItems": settings.max_batch_size}
    batch = {"type": "array", "items": pixels, "minItems": 1, "maxItems": settings.max_batch_size}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    refusal = {"description": "refused, with the reason", "content": {"application/json": {"schema": _ref("Refusal")}}}
    answer = {"description": "one prediction an image, in order", "content": _json(_ref("Answer"))}
    body = {
        "application/json": {
            "schema": {"oneOf": [_object({"image": encoded}), _object({"images": images}), _object({"pixels": batch})]}
        },
        "multipart/form-data": {"schema": _object({"image": file})},
        "image/*": {"schema": file},
        "application/octet-stream": {"schema": file},
    }
    predict = {
        "operationId": "predict",
        "summary": "Classify images",
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **{str(status): refusal for status in (400, 409, 413, 415, 422, 500, 503)}},
    }
    about = {"description": "what this process serves", "content": _json({"type": "object"})}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    prediction = _object(
        {
            "label": {"type": "string", "enum": signature.classes},
            "probabilities": _object(dict.fromkeys(signature.classes, probability)),
        }
    )
    model = _object({"name": {"type": "string"}, "version": {"type": "string"}, "package": {"type": "string"}})
    error = _object({"code": {"type": "string"}, "message": {"type": "string"}}, closed=False)
    return {
        "openapi": "3.1.0",
        "info": {"title": settings.model, "version": settings.version},
        "paths": {
            "/predict": {"post": predict},
            "/model": {"get": {"operationId": "model", "responses": {"200": about}}},
        },
        "components": {
            "schemas": {
                "Answer": _object({"predictions": {"type": "array", "items": prediction}, "model": model}),
                "Refusal": _object({"error": error}),
            }
        },
    }


def _object(properties: dict[str, Any], *, closed: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": not closed,
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
