"""A block of the prediction log: answers of one slot, in columns, until they are one line.

An answer costs the path an entry in some lists. The answer's predictions are the bytes that were sent. The arrays of
the inputs are kept only in a block that gets rows, and the items only where inputs are logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from components.contracts.prediction_log import BY_REQUEST, FLAGS, REDACTED
from components.inference import embedding_summary
from components.tasks import input_rows
from serving import input_contract, json_text
from serving.input_contract import Judgement
from serving.slots import ModelSlot

Samples = Sequence[dict[str, NDArray[Any]]]


class AnswerBlock:
    """Answers of one slot in one role, within one hour.

    Args:
        until: end of the hour; seconds since 1970.
        has_rows: whether the inputs of its answers are to be described.
    """

    __slots__ = (
        "bytes", "embeddings", "has_rows", "ids", "inputs", "items", "judgements", "latencies_us", "outputs", "role",
        "rows", "samples", "sizes", "slot", "times_us", "until",
    )  # fmt: skip

    def __init__(self, slot: ModelSlot, role: str, until: float, has_rows: bool) -> None:
        self.slot, self.role, self.until, self.has_rows = slot, role, until, has_rows
        self.ids: list[str] = []
        self.times_us: list[int] = []
        self.latencies_us: list[int] = []
        self.outputs: list[bytes] = []  # of a request: a JSON list of predictions
        self.sizes: list[int] = []  # of a request: samples
        self.items: list[Sequence[Any]] = []
        self.samples: list[Samples | None] = []  # of a request: the arrays of its samples, where they are at hand
        self.judgements: list[Judgement | None] = []  # of a request: where expectations are enforced
        self.embeddings: list[NDArray[Any] | None] = []  # of a request: (N, D), where it is described
        self.rows: dict[str, list[Any]] = {}
        self.inputs: list[Any] | None = None
        self.bytes = 0  # that the block keeps in memory

    def described(self) -> int:
        """The number of samples that are to be described."""
        return sum(len(samples) for samples in self.samples if samples is not None)

    def describe(self) -> None:
        """Compute the columns of the answers' rows, None where a request has none.

        Raises:
            Exception: whatever a task of a user raises.
        """
        chosen = [samples is not None for samples in self.samples]
        samples = [sample for found in self.samples for sample in found or ()]
        if not samples:
            return
        items = [item for found, has in zip(self.items, chosen, strict=True) if has for item in found]
        predictor = self.slot.loaded.predictor
        found = input_rows.rows(predictor.task, predictor.processor, items, samples)
        if not all(chosen):
            places = iter(range(len(samples)))
            index = [
                next(places) if has else None for has, size in zip(chosen, self.sizes, strict=True) for _ in range(size)
            ]
            found = {name: [None if at is None else values[at] for at in index] for name, values in found.items()}
        self.rows = found

    def take_judged_rows(self) -> bool:
        """Take the rows that the answers were judged by, if all were; returns whether there are any."""
        judged = [one for one in self.judgements if one is not None]
        if judged and len(judged) == len(self.judgements):
            self.rows = input_contract.shared_rows(self.slot.loaded.predictor, judged)
        return bool(self.rows)

    def summarise_embeddings(self) -> None:
        """Add the columns of the samples' embeddings to their rows, None where a request has none."""
        present = [one for one in self.embeddings if one is not None]
        if not self.rows or not present:
            return
        values = embedding_summary.columns(input_rows.EMBEDDING, np.concatenate(present))
        if len(present) < len(self.embeddings):
            places = iter(range(sum(len(one) for one in present)))
            index = [
                None if one is None else next(places)
                for one, size in zip(self.embeddings, self.sizes, strict=True)
                for _ in range(size)
            ]
            values = {name: [None if at is None else column[at] for at in index] for name, column in values.items()}
        self.rows = {**self.rows, **values}

    def flag(self) -> None:
        """Add the column of the columns that each sample misses expectations on, where expectations are enforced."""
        if all(one is None for one in self.judgements):
            return
        found: list[str | None] = []
        for one, size in zip(self.judgements, self.sizes, strict=True):
            missed: list[list[str]] = [[] for _ in range(size)]
            for each in one.missed if one else ():
                missed[each.sample].append(each.column)
            found += [orjson.dumps(names).decode() if one else None for names in missed]
        self.rows = {**self.rows, FLAGS: found}

    def line(self) -> bytes:
        """The block as a line of the log."""
        about = self.slot.about
        head: dict[str, Any] = {
            "format": BY_REQUEST,
            "model": about["name"],
            "version": about["version"],
            "package": about["package"],
            "role": self.role,
            "id": self.ids,
            "time_us": self.times_us,
            "latency_us": self.latencies_us,
        }
        if self.rows:
            head["rows"] = self.rows
        if self.inputs is not None:
            head["inputs"] = self.inputs
        return b'%b,"outputs":[%b]}\n' % (json_text.dumps(head)[:-1], b",".join(self.outputs))


def dropped(count: int) -> bytes:
    """The line that tells of requests that the log has not."""
    return orjson.dumps({"format": BY_REQUEST, "dropped": count}) + b"\n"


def kept_input(item: Any, names: frozenset[str], patterns: Sequence[Any]) -> Any:
    """An input as it is logged: bytes that are no text as base64, values that are not kept as `REDACTED`.

    Args:
        names: keys whose values are not kept.
        patterns: compiled; what they match in texts is not kept.
    """
    if isinstance(item, np.ndarray):
        return item.tolist()
    if isinstance(item, bytes):
        try:
            item = item.decode()
        except UnicodeDecodeError:
            import base64

            return {"base64": base64.b64encode(item).decode()}
    return _redacted(item, names, patterns)


def _redacted(value: Any, names: frozenset[str], patterns: Sequence[Any]) -> Any:
    if isinstance(value, str):
        for pattern in patterns:
            value = pattern.sub(REDACTED, value)
        return value
    if isinstance(value, dict):
        return {key: REDACTED if key in names else _redacted(one, names, patterns) for key, one in value.items()}
    return [_redacted(one, names, patterns) for one in value] if isinstance(value, list) else value
