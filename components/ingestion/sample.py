"""A raw sample, in the same form for all sources."""

from __future__ import annotations

from typing import Any, NamedTuple

from components.core.errors import SourceError

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class Sample(NamedTuple):
    """A sample's fields, as its source declares them.

    Args:
        id: stable and unique in its dataset: `train/000123`, or the file's relative path.
        split: train, validation or test; None if the source gives no split.
        values: by field; text is str, binary is unchecked bytes, numbers is an ndarray float64 (n,), json is any JSON
            value.
    """

    id: str
    split: str | None
    values: dict[str, Any]


def split_name(name: str, where: str) -> str:
    """Map a split's name in a source to train, validation or test.

    Raises:
        SourceError: the name is unknown.
    """
    split = _SPLITS.get(name.strip().lower())
    if split is None:
        raise SourceError("not the name of a split", where=where, got=repr(name), expected="train, validation or test")
    return split
