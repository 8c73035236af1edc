"""The paths of the protocols in the OpenAPI document. Their bodies are described as loosely as their protocols do."""

from __future__ import annotations

from typing import Any

from components.inference.body import JSON
from components.tasks.task import EndpointSchema

_TEXT, _INTEGER, _NUMBER, _FLAG = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
_ANY = {"type": "object"}
_LIST = {"type": "array", "items": _ANY}
_SAMPLING = {
    "max_tokens": {"type": "integer", "minimum": 1},
    "temperature": {"type": "number", "minimum": 0},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "seed": {"type": "integer", "minimum": 0},
    "stop": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "stream": _FLAG,
    "n": {"const": 1},
}

SCHEMAS: dict[str, Any] = {
    "InferError": {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]},
    "MlflowError": {
        "type": "object",
        "properties": {"error_code": _TEXT, "message": _TEXT},
        "required": ["error_code", "message"],
    },
    "OpenAIError": {
        "type": "object",
        "properties": {"error": {"type": "object", "properties": {"message": _TEXT, "type": _TEXT}}},
        "required": ["error"],
    },
}


def paths(model: str, wire: EndpointSchema, *, embeds: bool = False) -> dict[str, Any]:
    """The paths of each protocol; OpenAI's for texts and embeddings alone where the model gives them."""
    named = f"/v2/models/{model}"
    found = {
        "/v2": {"get": _get("server metadata", "InferError")},
        "/v2/health/live": {"get": _get("whether the process answers", "InferError")},
        "/v2/health/ready": {"get": _get("whether a version serves", "InferError")},
        named: {"get": _get("versions and tensors", "InferError")},
        f"{named}/ready": {"get": _get("whether the model is ready", "InferError")},
        f"{named}/infer": {"post": _post("Open Inference Protocol", "InferError", JSON, _infer())},
        "/ping": {"get": {"summary": "whether a version serves", "responses": {"200": {"description": "yes"}}}},
        "/version": {"get": {"summary": "version of MLflow", "responses": {"200": {"description": "a version"}}}},
        "/invocations": {"post": _post("MLflow's scoring protocol", "MlflowError", JSON, _rows())},
        "/v1/models": {"get": _get("the model", "OpenAIError")},
    }
    if embeds:
        texts = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
        properties = {"model": {"const": model}, "input": texts, "encoding_format": {"enum": ["float", "base64"]}}
        schema = {"type": "object", "properties": properties, "required": ["model", "input"]}
        found["/v1/embeddings"] = {"post": _post("OpenAI's API", "OpenAIError", JSON, schema)}
    if writes_texts(wire):
        name = {"const": model}
        completion = {"model": name, "prompt": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}, **_SAMPLING}
        message = {
            "type": "object",
            "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": _TEXT},
            "required": ["role", "content"],
        }
        chat = {"model": name, "messages": {"type": "array", "items": message, "minItems": 1}, **_SAMPLING}
        for path, properties, needed in (("completions", completion, "prompt"), ("chat/completions", chat, "messages")):
            schema = {"type": "object", "properties": properties, "required": ["model", needed]}
            found[f"/v1/{path}"] = {"post": _post("OpenAI's API", "OpenAIError", JSON, schema, stream=True)}
    return found


def writes_texts(wire: EndpointSchema) -> bool:
    """Whether a task continues texts, token by token."""
    fields = wire.parameters.model_fields if wire.parameters else {}
    return "max_tokens" in fields and "text" in wire.prediction.get("properties", {})


def _infer() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": _TEXT,
            "data": {"type": "array"},
            "parameters": _ANY,
        },
        "required": ["name", "shape", "datatype"],
    }
    properties = {"id": _TEXT, "inputs": {"type": "array", "items": tensor, "minItems": 1}, "outputs": _LIST}
    return {"type": "object", "properties": {**properties, "parameters": _ANY}, "required": ["inputs"]}


def _rows() -> dict[str, Any]:
    split = {
        "type": "object",
        "properties": {"columns": {"type": "array", "items": _TEXT}, "data": {"type": "array"}},
        "required": ["data"],
    }
    ways = {"dataframe_split": split, "dataframe_records": _LIST, "instances": {"type": "array"}, "inputs": {}}
    return {
        "oneOf": [
            {"type": "object", "properties": {key: schema, "params": _ANY}, "required": [key]}
            for key, schema in ways.items()
        ]
    }


def _get(summary: str, error: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _ok(), **_refusals(error, (404, 503))}}


def _post(summary: str, error: str, media: str, schema: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    answered = _ok()
    if stream:
        answered["content"]["text/event-stream"] = {}
    statuses = (400, 401, 404, 408, 409, 413, 415, 429, 431, 500, 503, 504)
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {media: {"schema": schema}}},
        "responses": {"200": answered, **_refusals(error, statuses)},
    }


def _ok() -> dict[str, Any]:
    return {"description": "answered", "content": {JSON: {"schema": _ANY}}}


def _refusals(error: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    return {str(status): {"description": "refused, with the reason", "content": content} for status in statuses}
