"""An inference request of the Open Inference Protocol: JSON, behind it the binary data of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from numpy.typing import NDArray

from components.inference import body
from serving.problem import RefusedRequest
from serving.protocols import tensor_codec
from serving.protocols.call import json_object
from serving.protocols.tensor_inputs import InputForm, decoded_base64
from serving.request import PredictionRequest
from serving.slots import ModelSlot

MAX_DIMENSIONS = 16
_OWN = ("binary_data_output", "timeout")  # parameters that the protocol gives a meaning; others are the task's


@dataclass
class InferRequest:
    """A request without its samples.

    Args:
        id: repeated in the response.
        requested: names of the outputs that are wanted, and whether as binary data; None: all outputs.
        binary_by_default: whether outputs of which the request says nothing are binary data.
        timeout_seconds: the request waits at most so long.
    """

    id: str | None = None
    requested: dict[str, bool] | None = None
    binary_by_default: bool = False
    timeout_seconds: float | None = None
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


def parse(content: bytes, header_length: int | None, forms: list[InputForm]) -> tuple[InferRequest, InputForm]:
    """A request's body, and the form of the task's samples that it has.

    Args:
        header_length: bytes of JSON before the binary data (header Inference-Header-Content-Length); None: all.

    Raises:
        RefusedRequest: it is no request of this protocol, or its tensors are not those of the task.
        SampleError: the data of a tensor does not fit its datatype and shape.
    """
    length = len(content) if header_length is None else header_length
    if not 0 <= length <= len(content):
        raise _bad("Inference-Header-Content-Length is more than the body", got=length, expected=len(content))
    document = json_object(content[:length])
    given = _objects(document, "inputs")
    if given is None or not given:
        raise _bad("a request has at least one tensor in `inputs`")
    request = _options(document)
    form = _form(forms, [_text(one, "name") for one in given])
    rest = memoryview(content)[length:]
    for one in given:
        rest = _add(request, form, one, rest)
    if len(rest):
        raise _bad("the body has more binary data than its tensors", got=f"{len(rest)} bytes more")
    counts = {len(array) for array in request.arrays.values()}
    if len(counts) > 1:
        raise _bad("the tensors have different numbers of samples", got=sorted(counts))
    return request, form


def prediction_request(slot: ModelSlot, request: InferRequest, form: InputForm, size: int) -> PredictionRequest:
    """The samples and parameters of a request.

    Raises:
        SampleError: they do not fit the task.
    """
    endpoint = slot.loaded.predictor.endpoint
    values = body.parameters(endpoint, orjson.dumps(request.parameters).decode()) if request.parameters else None
    return PredictionRequest(form.items(request.arrays), values, size)


def _options(document: Mapping[str, Any]) -> InferRequest:
    parameters = _mapping(document, "parameters")
    request = InferRequest()
    if (name := document.get("id")) is not None:
        if not isinstance(name, str):
            raise _bad("`id` is no text", got=type(name).__name__)
        request.id = name
    request.binary_by_default = _flag(parameters, "binary_data_output")
    if (microseconds := parameters.get("timeout")) is not None:
        if type(microseconds) is not int or microseconds <= 0:
            raise _bad("`timeout` is no positive number of microseconds", got=repr(microseconds)[:40])
        request.timeout_seconds = microseconds / 1e6
    request.parameters = {name: value for name, value in parameters.items() if name not in _OWN}
    wanted = _objects(document, "outputs")
    if wanted is not None and wanted:
        request.requested = {}
        for one in wanted:
            options = _mapping(one, "parameters")
            if odd := sorted(set(options) - {"binary_data"}):
                raise _bad("a parameter of an output is not supported", got=", ".join(odd), expected="binary_data")
            binary = _flag(options, "binary_data") if "binary_data" in options else request.binary_by_default
            request.requested[_text(one, "name")] = binary
    return request


def _form(forms: list[InputForm], names: list[str]) -> InputForm:
    if len(set(names)) < len(names):
        raise _bad("two tensors have the same name", got=", ".join(names))
    for form in forms:
        if form.required <= set(names) <= {tensor.name for tensor in form.tensors}:
            return form
    expected = " or ".join(", ".join(tensor.name for tensor in form.tensors) for form in forms)
    raise _bad("these are not the input tensors of this model", got=", ".join(names), expected=expected)


def _add(request: InferRequest, form: InputForm, given: Mapping[str, Any], rest: memoryview) -> memoryview:
    """Read one tensor; the binary data behind it."""
    name, datatype = _text(given, "name"), _text(given, "datatype")
    tensor = next(tensor for tensor in form.tensors if tensor.name == name)
    known = datatype in tensor_codec.NUMPY or datatype == tensor_codec.BYTES
    if not known or not tensor.takes(datatype):
        raise _bad(f"tensor {name} has another datatype", got=datatype, expected=tensor.datatype)
    shape = given.get("shape")
    sizes = isinstance(shape, list) and all(type(size) is int and 0 <= size < 2**40 for size in shape)
    if not isinstance(shape, list) or not sizes or len(shape) > MAX_DIMENSIONS or not tensor.fits(shape):
        expected = f"{[-1, *tensor.shape]}, where -1 stands for a size of at least 0"
        raise _bad(f"tensor {name} has another shape", got=repr(shape)[:80], expected=expected)
    options = _mapping(given, "parameters")
    if odd := sorted(set(options) - {"binary_data_size"}):
        raise _bad(f"a parameter of tensor {name} is not supported", got=", ".join(odd), expected="binary_data_size")
    if "binary_data_size" in options:
        size = options["binary_data_size"]
        if type(size) is not int or not 0 <= size <= len(rest) or "data" in given:
            expected = f"at most {len(rest)} bytes, and no `data`"
            raise _bad(f"tensor {name} has no such binary data", got=repr(size)[:40], expected=expected)
        request.arrays[name] = tensor_codec.from_binary(name, datatype, shape, rest[:size])
        return rest[size:]
    array = tensor_codec.from_json(name, datatype, shape, given.get("data"))
    is_file = form.text_is_base64 and datatype == tensor_codec.BYTES
    request.arrays[name] = decoded_base64(name, array) if is_file else array
    return rest


def _objects(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]] | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _bad(f"`{key}` is no list of objects", got=type(value).__name__)
    return value


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise _bad(f"`{key}` is no object", got=type(value).__name__)
    return value or {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise _bad(f"a tensor's `{key}` is no text", got=type(value).__name__)
    return value


def _flag(parameters: Mapping[str, Any], key: str) -> bool:
    value = parameters.get(key, False)
    if not isinstance(value, bool):
        raise _bad(f"`{key}` is neither true nor false", got=repr(value)[:40])
    return value


def _bad(message: str, *, got: object = None, expected: object = None) -> RefusedRequest:
    return RefusedRequest(400, "tensor", message, got=got, expected=expected)
