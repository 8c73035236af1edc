"""The output tensors of a task, derived from the JSON schema of its predictions.

property of a prediction                    tensor of N predictions
a text                                      BYTES (N)
a file, base64                              BYTES (N): the file
a number; an integer; true or false         FP64 (N); INT64 (N); BOOL (N)
a number from 0 to 1                        FP32 (N)
lists of a fixed number of numbers          FP64 (N, ...)
an object of numbers of fixed names         FP32 or FP64 (N, K), the names in the metadata's `parameters.labels`
anything else (boxes, spans, labels)        BYTES (N), JSON of each
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.tasks.task import Prediction
from serving import json_text
from serving.protocols.tensor_codec import BYTES, NUMPY

_WHOLE = "prediction"  # of a task whose predictions have no named properties


class OutputTensor(NamedTuple):
    """One output tensor.

    Args:
        shape: without the number of predictions.
        value: of one prediction: numbers, or bytes.
        labels: names along the first dimension after the predictions, if it has names.
        is_file: BYTES are files: base64 in JSON.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    value: Callable[[Prediction], Any]
    labels: tuple[str, ...] = ()
    is_file: bool = False

    def metadata(self) -> dict[str, Any]:
        """Name, datatype and shape, as the protocol's metadata has them, and the names of the labels."""
        found: dict[str, Any] = {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}
        return {**found, "parameters": {"labels": list(self.labels)}} if self.labels else found

    def array(self, predictions: Sequence[Prediction]) -> NDArray[Any]:
        """The tensor of some predictions."""
        values = [self.value(prediction) for prediction in predictions]
        if self.datatype == BYTES:
            array = np.empty(len(values), object)
            array[:] = values
            return array
        return np.array(values, NUMPY[self.datatype]).reshape(len(values), *self.shape)


def outputs(schema: Mapping[str, Any]) -> list[OutputTensor]:
    """The output tensors of predictions of a schema."""
    properties = schema.get("properties", {})
    if not properties:
        return [OutputTensor(_WHOLE, BYTES, (), json_text.dumps)]
    return [_output(name, one, name in schema.get("required", ())) for name, one in properties.items()]


def _output(name: str, schema: Mapping[str, Any], required: bool) -> OutputTensor:
    kind = schema.get("type")
    if kind == "string" and schema.get("contentEncoding") == "base64":
        return OutputTensor(name, BYTES, (), lambda one: base64.b64decode(one.get(name, "")), is_file=True)
    if kind == "string":
        return OutputTensor(name, BYTES, (), lambda one: str(one.get(name, "")).encode("utf-8", "replace"))
    if (found := _numbers(schema)) is not None and (required or found == ("FP64", ())):
        datatype, shape = found
        labels = tuple(schema["properties"]) if kind == "object" else ()
        if labels:
            return OutputTensor(name, datatype, shape, lambda one: [one[name][label] for label in labels], labels)
        return OutputTensor(name, datatype, shape, lambda one: one.get(name))
    return OutputTensor(name, BYTES, (), lambda one: json_text.dumps(one.get(name)))


def _numbers(schema: Mapping[str, Any]) -> tuple[str, tuple[int, ...]] | None:
    """Datatype and shape of a value of numbers alone whose shape is fixed; None for anything else."""
    kind = schema.get("type")
    if kind == "number":
        share = schema.get("minimum") == 0 and schema.get("maximum") == 1
        return ("FP32" if share else "FP64"), ()
    if kind == "integer":
        return "INT64", ()
    if kind == "boolean":
        return "BOOL", ()
    if kind == "array" and schema.get("minItems") is not None and schema["minItems"] == schema.get("maxItems"):
        inner = _numbers(schema.get("items", {}))
        return None if inner is None else (inner[0], (int(schema["minItems"]), *inner[1]))
    if kind == "object" and schema.get("properties") and schema.get("additionalProperties") is False:
        properties = schema["properties"]
        inners = {_numbers(one) for one in properties.values()}
        if len(inners) == 1 and set(schema.get("required", ())) == set(properties):
            (inner,) = inners
            # Objects within objects have names along two dimensions, which the metadata has no place for.
            nested = any(one.get("type") == "object" for one in properties.values())
            return None if inner is None or nested else (inner[0], (len(properties), *inner[1]))
    return None
