"""Leave out samples that are not to be ingested: named by the digest of what they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import Any

import numpy as np

from components.identity import digest
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

LEFT_OUT = "samples are left out, as source.exclude names them"
NOT_THERE = "of source.exclude name no sample of the source"


def digest_of(values: dict[str, Any]) -> str:
    """The sha256 of a sample's fields, whatever its id and its split.

    Args:
        values: as of `Sample.values`; the ids of samples change when rows are added or removed before them.
    """
    return digest.of_value({name: _plain(value) for name, value in values.items()})


def without(samples: Iterator[Sample], exclude: Collection[str], remarks: Remarks) -> Iterator[Sample]:
    """The samples that are not excluded.

    Args:
        remarks: told how many were left out, and how many digests name none.
    """
    left, found = frozenset(exclude), set[str]()
    for sample in samples:
        name = digest_of(sample.values)
        if name in left:
            found.add(name)
            remarks.add(LEFT_OUT)
        else:
            yield sample
    if left - found:
        remarks.add(NOT_THERE, count=len(left - found))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return sha256(np.ascontiguousarray(value, "<f8").tobytes()).hexdigest()
    if isinstance(value, bytes | bytearray | memoryview):
        return sha256(value).hexdigest()
    return value
