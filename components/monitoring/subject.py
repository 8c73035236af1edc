"""Whose data is to be forgotten, by a sample or by the value of a column; and which rows of a log are of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import model_validator

from components.core.strict import Strict
from components.identity import digest
from components.monitoring.log_reader import INPUT

ROW = "raw.row."
RAW = "raw."
TEXT = "text"  # key of a request's text


class Subject(Strict):
    """What is to be forgotten.

    Args:
        sample: the id of a prediction, the id of a sample of a dataset, or the digest of a sample.
        key, value: samples and inputs whose column or key has this value, as text.
    """

    sample: str | None = None
    key: str | None = None
    value: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.sample is None) == (self.key is None) or (self.key is None) != (self.value is None):
            raise ValueError("either a sample, or a key and its value")
        return self

    def is_in(self, document: Any, names: Collection[str] = ()) -> bool:
        """Whether a row of features, an input or the fields of a sample has the key with the value.

        Args:
            names: further names of the key, as the field that a column of the source became.
        """
        if self.key is None:
            return False
        if isinstance(document, str):  # an input that is a text alone
            return TEXT in (self.key, *names) and document == self.value
        if not isinstance(document, Mapping):
            return False
        return any(name in document and is_value(document[name], str(self.value)) for name in (self.key, *names))


def is_value(found: Any, value: str) -> bool:
    """Whether a value of a column is one that a person wrote as text."""
    if isinstance(found, bool) or found is None:
        return str(found).lower() == value.lower() if found is not None else False
    if isinstance(found, int | float):
        try:
            return float(found) == float(value)
        except ValueError:
            return False
    return str(found) == value


def input_digest(item: Any) -> str:
    """The digest of an input as the log keeps it; `item` is a text, a row, or bytes."""
    if isinstance(item, bytes):
        try:
            item = item.decode()
        except UnicodeDecodeError:
            item = {"base64": base64.b64encode(item).decode()}
    return digest.of_value(item)


def rows_of(table: pa.Table, subject: Subject, inputs: Collection[str], ids: Collection[str]) -> NDArray[np.bool_]:
    """Which rows of a log are the subject's, (n,).

    Args:
        inputs: digests of inputs (`input_digest`) that are the subject's, from the samples of datasets.
        ids: predictions that are known to be the subject's.
    """
    known = {*ids, *([subject.sample] if subject.sample is not None else [])}
    found = np.array([one in known for one in table["id"].to_pylist()], bool)
    if subject.key is not None:
        for name in (f"{ROW}{subject.key}", f"{RAW}{subject.key}"):
            if name in table.column_names:
                values = table[name].to_pylist()
                found |= np.array([is_value(value, str(subject.value)) for value in values], bool)
    if INPUT in table.column_names and (subject.key is not None or inputs):
        found |= np.array([_is_input(text, subject, inputs) for text in table[INPUT].to_pylist()], bool)
    return found


def _is_input(text: str | None, subject: Subject, inputs: Collection[str]) -> bool:
    if text is None:
        return False
    document = json.loads(text)
    return subject.is_in(document) or (bool(inputs) and digest.of_value(document) in inputs)
