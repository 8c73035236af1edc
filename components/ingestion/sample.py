"""One raw sample, as every source hands it over."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.errors import SourceError

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
    """An encoded image with its label.

    Args:
        id: stable and unique in its dataset: `train/000123`, or the file's relative path.
        split: train, validation or test, where the source gives it.
        label: the class's name.
        image: the bytes of an image file, as they came; not necessarily readable.
    """

    id: str
    split: str | None
    label: str
    image: bytes


def split_name(given: str, where: str) -> str:
    """The split that a source means by a name.

    Raises:
        SourceError: it is none of ours.
    """
    known = _SPLITS.get(given.strip().lower())
    if known is None:
        raise SourceError("not the name of a split", where=where, got=repr(given), expected="train, validation or test")
    return known
