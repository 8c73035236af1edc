"""What BentoML's own client reads at /schema.json to know a service's methods: `predict` and `predict_batch`.

with bentoml.SyncHTTPClient("http://127.0.0.1:3000") as client:
    client.predict(image=Path("seven.png"))["predictions"][0]["label"]
"""

from __future__ import annotations

from typing import Any

from components.inference.body import PARAMETERS
from components.tasks.task import EndpointSchema

_FILE_FORMATS = {"image": "image", "sound": "audio"}


def schema(model: str, wire: EndpointSchema) -> dict[str, Any]:
    """The document, in the form of BentoML's services; both methods are requests to /predict."""
    is_file = wire.schema.get("contentEncoding") == "base64"
    sample = {"type": "file", "format": _FILE_FORMATS.get(wire.form, "binary")} if is_file else wire.schema
    parameters = {} if wire.parameters is None else {PARAMETERS: wire.parameters.model_json_schema()}
    several = {"type": "array", "items": sample}
    return {
        "name": model,
        "type": "service",
        "description": wire.summary,
        "routes": [
            _method("predict", {wire.item: sample, **parameters}, wire.item, wire.summary),
            _method("predict_batch", {wire.items: several, **parameters}, wire.items, wire.summary),
        ],
        "paths": {"/predict": {"mounted": False}},
    }


_ANSWER = {"predictions": {"type": "array", "items": {"type": "object"}}, "model": {"type": "object"}}


def _method(name: str, properties: dict[str, Any], required: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "route": "/predict",
        "description": text,
        "batchable": False,
        "input": {"title": "Input", "type": "object", "properties": properties, "required": [required]},
        "output": {"title": "Output", "type": "object", "properties": _ANSWER},
        "is_task": False,
    }
