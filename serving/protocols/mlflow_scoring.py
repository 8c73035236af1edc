"""MLflow's scoring protocol: /invocations, /ping, /health and /version, as `mlflow models serve` answers them.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally (inference server specification). Rows have
the columns of `components.inference.columns`, which the registered model has too. Parquet is refused: it needs pyarrow.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from components.core.errors import SampleError
from components.inference import body, columns
from components.inference.columns import SampleColumn
from components.tasks.task import EndpointSchema
from serving.answering import Answerer
from serving.exchange import Answer, HttpRequest, Reply, json_reply
from serving.native import context_of
from serving.problem import RefusedRequest
from serving.protocols.call import json_object, predict
from serving.request import PredictionRequest
from serving.router import Routes
from serving.slots import ModelSlot
from serving.worker import Worker

VERSION = "3.17.0"  # of MLflow, whose protocol this is
MAX_CELL = 2**31 - 1  # characters; a file in base64 is longer than csv's own limit, and the body is bounded
CSV = "text/csv"
_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_PARAMETERS = "params"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = b"text/plain; charset=utf-8"


class MlflowScoring:
    """Answers MLflow's paths."""

    def __init__(self, answerer: Answerer, worker: Worker) -> None:
        self._answerer, self._worker = answerer, worker

    def routes(self) -> Routes:
        """The paths of this protocol."""
        return {
            "/invocations": {"POST": self.invocations},
            "/ping": {"GET": self.ping},
            "/health": {"GET": self.ping},
            "/version": {"GET": self.version},
        }

    async def ping(self, _: HttpRequest) -> Answer:
        """Whether there is a champion, and the lease has not run out."""
        if self._worker.lease.is_over:
            return Reply(b"\n", 503)
        return Reply(b"\n", 200 if self._worker.slot_manager.current.champion else 404)

    async def version(self, _: HttpRequest) -> Answer:
        """The version of MLflow whose protocol is spoken."""
        return Reply(VERSION.encode(), 200, _PLAIN)

    async def invocations(self, request: HttpRequest) -> Answer:
        """Predict rows.

        Raises:
            RefusedRequest: with the slot that refused it, once there is one.
        """
        kind = request.media_type
        if kind not in (body.JSON, CSV):
            expected = f"{body.JSON} or {CSV}"
            raise RefusedRequest(415, "content_type", "this content type is not read", got=kind, expected=expected)
        charset = _charset(request)
        if charset not in ("utf-8", "utf8"):
            raise RefusedRequest(415, "content_type", "only UTF-8 is read", got=charset)

        def parse(slot: ModelSlot, content: bytes) -> PredictionRequest:
            endpoint, document = slot.loaded.predictor.endpoint, dict[str, Any]()
            if kind == CSV:
                rows = rows_of_csv(endpoint, content)
            else:
                document = json_object(content)
                rows = rows_of_json(endpoint, document)
            native = {endpoint.items: columns.values(endpoint, rows)}
            if document.get(_PARAMETERS) not in (None, {}):
                native[body.PARAMETERS] = document[_PARAMETERS]
            parsed = body.of_document(slot.loaded.predictor.processor, endpoint, native)
            return PredictionRequest(*parsed, len(content))

        context = context_of(request, self._worker.settings)
        slot, predictions, after, _ = (
            await predict(self._answerer, self._worker.settings, request, context, parse)
        ).answered
        answered = columns.answers(slot.loaded.predictor.endpoint, predictions)
        document: dict[str, Any] = {"predictions": answered}
        if context.missed:
            document["flags"] = [missed.document() for missed in context.missed]
        return json_reply(document, headers=slot.encoded_headers, after=after)


def rows_of_json(endpoint: EndpointSchema, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a JSON request.

    Raises:
        RefusedRequest: 400, there is not exactly one of the formats, or it has another structure.
    """
    present = [name for name in _FORMATS if name in document]
    if len(present) != 1 or set(document) - {*_FORMATS, _PARAMETERS}:
        raise _bad("exactly one input field is expected", ", ".join(map(str, document)), " or ".join(_FORMATS))
    (name,) = present
    value = document[name]
    if name == "dataframe_split":
        return _split(endpoint, value)
    if name == "dataframe_records":
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise _bad("dataframe_records is no list of objects", type(value).__name__)
        return value
    if name == "inputs" and isinstance(value, dict):
        return _columnwise(value)
    if not isinstance(value, list):
        raise _bad(f"{name} is no list", type(value).__name__)
    if value and all(isinstance(row, dict) for row in value) and name == "instances":
        return value
    return [{endpoint.item: one} for one in value]


def rows_of_csv(endpoint: EndpointSchema, content: bytes) -> list[dict[str, Any]]:
    """The rows of CSV with a header; an empty cell is null.

    Raises:
        RefusedRequest: 400, it is no CSV in UTF-8, or a row has another number of cells than the header.
        SampleError: a cell is not of its column's type.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedRequest(400, "csv", f"the body is no CSV in UTF-8: {error}") from error
    lines = [line for line in lines if line]
    if not lines:
        raise _bad("the CSV is empty", "no header")
    header, *rows = lines
    if len(set(header)) < len(header):
        raise _bad("two columns of the CSV have the same name", ", ".join(header))
    known = {column.name: column for column in columns.inputs(endpoint)}
    found = []
    for number, line in enumerate(rows, 1):
        if len(line) != len(header):
            raise _bad(f"row {number} has another number of cells than the header", len(line), len(header))
        found.append({name: _cell(known.get(name), number, text) for name, text in zip(header, line, strict=True)})
    return found


def _cell(column: SampleColumn | None, number: int, text: str) -> Any:
    if not text:
        return None
    kind = column.type if column else "string"
    if kind == "string":
        return text
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
        if not _NUMBER.fullmatch(text):  # Python's own forms of numbers, such as 1_000 and nan, are others'
            raise ValueError(text)
        return float(text) if kind == "double" else int(text)
    except (ValueError, KeyError) as error:
        where = f"row {number}"
        name = column.name if column else ""
        raise SampleError(f"no {kind} in the column {name}", code="csv", where=where, got=text[:40]) from error


def _split(endpoint: EndpointSchema, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict) or "data" not in value or set(value) - {"columns", "index", "data"}:
        got = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise _bad("dataframe_split has other keys", got, "data, and columns and index if they are wanted")
    names = value.get("columns")
    if names is None:
        names = [column.name for column in columns.inputs(endpoint)]
    rows = value["data"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise _bad("columns is no list of different texts", repr(names)[:80])
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        raise _bad("data is no list of rows with a value a column", type(rows).__name__, f"{len(names)} values a row")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _columnwise(value: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {name: one if isinstance(one, list) else [one] for name, one in value.items()}
    counts = {len(one) for one in lists.values()}
    if len(counts) != 1:
        raise _bad("the columns of inputs have different lengths", sorted(counts))
    return [{name: one[row] for name, one in lists.items()} for row in range(counts.pop())]


def _charset(request: HttpRequest) -> str:
    parts = (request.header(b"content-type") or "").split(";")[1:]
    named = [part.partition("=")[2].strip(' "').lower() for part in parts if part.strip().lower().startswith("charset")]
    return named[0] if named else "utf-8"


def _bad(message: str, got: object, expected: object = None) -> RefusedRequest:
    return RefusedRequest(400, "format", message, got=got, expected=expected)
