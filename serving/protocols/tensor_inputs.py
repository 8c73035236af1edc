"""The input tensors of a task, derived from the JSON schema of its samples, and how they become its samples.

    schema of one sample                        tensors, N samples each
    a file, base64                              BYTES (N), named as the sample: the files
    a text                                      BYTES (N), UTF-8
    nested lists of numbers                     FP64 (N, ...)
    an object (a row of a table)                one tensor (N) a property: FP64, INT64, BOOL or BYTES
    anything else                               BYTES (N), JSON of one sample each
    besides: pixels of 0 to 255                 UINT8 (N, H, W, C), named as the graph's own input

A number tensor of any datatype that converts without loss is accepted. The first form of a task is what its metadata
names. In a column that may be missing, NaN, null or empty BYTES mean a missing value.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from components.core.errors import SampleError
from components.inference.predictor import Predictor
from components.tasks.task import EndpointSchema
from serving.protocols.tensor_codec import BYTES, NUMPY

Tensors = Mapping[str, NDArray[Any]]

_FREE = -1
_INTEGERS = tuple(name for name in NUMPY if "INT" in name)
_COLUMN_TYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": BYTES}  # the first that fits


class InputTensor(NamedTuple):
    """One input tensor.

    Args:
        shape: without the number of samples; -1 for a free size.
        also: datatypes that are accepted beside `datatype` and beside those that convert to it without loss.
        required: whether it must be sent.
        may_be_missing: whether a sample may have no value.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = ()
    also: tuple[str, ...] = ()
    required: bool = True
    may_be_missing: bool = False

    def metadata(self) -> dict[str, Any]:
        """Name, datatype and shape, as the protocol's metadata has them."""
        return {"name": self.name, "datatype": self.datatype, "shape": [_FREE, *self.shape]}

    def takes(self, datatype: str) -> bool:
        """Whether a tensor of a datatype is accepted."""
        if datatype in (self.datatype, *self.also):
            return True
        return BYTES not in (datatype, self.datatype) and np.can_cast(NUMPY[datatype], NUMPY[self.datatype], "safe")

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of a shape is accepted; one value a sample may have a further dimension of size 1."""
        if not self.shape and len(shape) == 2 and shape[1] == 1:
            return True
        return len(shape) == 1 + len(self.shape) and all(
            own in (_FREE, size) for own, size in zip(self.shape, shape[1:], strict=True)
        )


@dataclass(frozen=True)
class InputForm:
    """One way to send samples.

    Args:
        items: the items for `Predictor.read` of arrays by tensor name.
        text_is_base64: JSON data of BYTES is base64, since JSON has no bytes.
    """

    tensors: tuple[InputTensor, ...]
    items: Callable[[Tensors], list[Any]]
    text_is_base64: bool = False

    @property
    def required(self) -> set[str]:
        """Names of the tensors that must be sent."""
        return {tensor.name for tensor in self.tensors if tensor.required}


def forms(predictor: Predictor) -> list[InputForm]:
    """The forms of a task's samples, the one that the metadata names first."""
    endpoint = predictor.endpoint
    found = [
        _pixels(predictor, key, shape)
        for key, schema in endpoint.others.items()
        if (shape := _pixel_shape(schema)) is not None
    ]
    return [*found, _of_sample(predictor)]


def decoded_base64(tensor: str, array: NDArray[Any]) -> NDArray[Any]:
    """BYTES of base64 as the bytes they mean.

    Raises:
        SampleError: an element is no base64.
    """
    try:
        contents = [base64.b64decode(element or b"", validate=True) for element in array.ravel()]
    except (binascii.Error, ValueError) as error:
        raise SampleError(f"an element is no base64: {error}", code="base64", where=f"tensor {tensor}") from error
    result = np.empty(len(contents), object)
    result[:] = contents
    return result.reshape(array.shape)


def _of_sample(predictor: Predictor) -> InputForm:
    endpoint, processor = predictor.endpoint, predictor.processor
    name = endpoint.item
    for schema in endpoint.schema.get("anyOf", [endpoint.schema]):
        kind = schema.get("type")
        if kind == "string":
            is_file = schema.get("contentEncoding") == "base64"
            return InputForm((InputTensor(name, BYTES),), _texts(endpoint), text_is_base64=is_file)
        if kind == "array" and (shape := _number_shape(schema)) is not None:
            tensor = InputTensor(name, "FP64", shape, _INTEGERS)
            return InputForm((tensor,), lambda arrays: processor.items({endpoint.items: arrays[name].tolist()}))
        if kind == "object" and (columns := _columns(schema)) is not None:
            return InputForm(columns, lambda arrays: processor.items({endpoint.items: _rows(columns, arrays)}))

    def parsed(arrays: Tensors) -> list[Any]:
        try:
            values = [orjson.loads(element or b"") for element in arrays[name].ravel()]
        except ValueError as error:
            raise SampleError(f"an element is no JSON: {error}", code="json", where=f"tensor {name}") from error
        return processor.items({endpoint.items: values})

    return InputForm((InputTensor(name, BYTES),), parsed)


def _texts(endpoint: EndpointSchema) -> Callable[[Tensors], list[Any]]:
    def items(arrays: Tensors) -> list[Any]:
        contents = [element or b"" for element in arrays[endpoint.item].ravel()]
        if endpoint.media:  # a body of such a media type is one sample: the task reads bytes
            return contents
        try:
            return [content.decode("utf-8") for content in contents]
        except UnicodeDecodeError as error:
            where = f"tensor {endpoint.item}"
            raise SampleError("an element is not UTF-8", code="text", where=where, got=error) from error

    return items


def _pixels(predictor: Predictor, key: str, shape: tuple[int, ...]) -> InputForm:
    processor = predictor.processor
    graphs = predictor.signature.graphs.values()
    own = [
        tensor.name for graph in graphs for tensor in graph.inputs if tensor.type == "uint8" and len(tensor.shape) == 4
    ]
    name = own[0] if len(own) == 1 else key
    return InputForm((InputTensor(name, "UINT8", shape),), lambda arrays: processor.items({key: arrays[name]}))


def _pixel_shape(schema: Mapping[str, Any]) -> tuple[int, ...] | None:
    """(H, W, C) of a list of images of numbers from 0 to 255; None for anything else."""
    sizes: list[int] = []
    inner: Mapping[str, Any] = schema.get("items", {})
    while inner.get("type") == "array":
        sizes.append(_size(inner))
        inner = inner.get("items", {})
    is_byte = inner.get("type") == "integer" and (inner.get("minimum"), inner.get("maximum")) == (0, 255)
    return tuple(sizes) if is_byte and len(sizes) == 3 else None


def _number_shape(schema: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers, -1 for a free size; None for anything else."""
    sizes: list[int] = []
    inner = schema
    while inner.get("type") == "array":
        sizes.append(_size(inner))
        inner = inner.get("items", {})
    return tuple(sizes) if inner.get("type") in ("number", "integer") else None


def _size(schema: Mapping[str, Any]) -> int:
    least, most = schema.get("minItems"), schema.get("maxItems")
    return int(least) if least is not None and least == most else _FREE


def _columns(schema: Mapping[str, Any]) -> tuple[InputTensor, ...] | None:
    tensors = []
    for name, column in schema.get("properties", {}).items():
        kinds = [column["type"]] if isinstance(column.get("type"), str) else list(column.get("type", ()))
        datatype = next(
            (_COLUMN_TYPES[kind] for kind in ("number", "string", "integer", "boolean") if kind in kinds), None
        )
        if datatype is None:
            return None
        also = _INTEGERS if {"number", "integer"} & set(kinds) else ()
        also = (*also, "BOOL") if "boolean" in kinds else also
        required = name in schema.get("required", ())
        tensors.append(InputTensor(name, datatype, (), also, required, "null" in kinds))
    return tuple(tensors) or None


def _rows(columns: Sequence[InputTensor], arrays: Tensors) -> list[dict[str, Any]]:
    values = {tensor.name: _column(tensor, arrays[tensor.name]) for tensor in columns if tensor.name in arrays}
    count = max(map(len, values.values()), default=0)
    return [{name: column[row] for name, column in values.items()} for row in range(count)]


def _column(tensor: InputTensor, array: NDArray[Any]) -> list[Any]:
    elements = array.ravel().tolist()
    if array.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in elements]
    if array.dtype.kind != "O":
        return elements
    try:
        return [
            None if value is None or (not value and tensor.may_be_missing) else value.decode("utf-8")
            for value in elements
        ]
    except UnicodeDecodeError as error:
        raise SampleError("an element is not UTF-8", code="text", where=f"tensor {tensor.name}", got=error) from error
