"""What the tasks that read one value a sample have in common: the items of a JSON request, and where one failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from components.core.errors import SampleError

Given = TypeVar("Given")
Made = TypeVar("Made")


def of(document: Mapping[str, Any], item: str, items: str) -> list[Any]:
    """The items of a document with one of two keys: one value, or a list of them.

    Raises:
        SampleError: several, but no list.
    """
    if items not in document:
        return [document[item]]
    found = document[items]
    if not isinstance(found, list):
        raise SampleError(f"{items} must be a list", got=type(found).__name__)
    return found


def each(made: Callable[[Given], Made], samples: Iterable[Given]) -> list[Made]:
    """What is made of each sample.

    Raises:
        SampleError: as `made` raises it; `where` says the sample's position.
    """
    done: list[Made] = []
    for position, sample in enumerate(samples):
        try:
            done.append(made(sample))
        except SampleError as error:
            raise at(error, position) from error
    return done


def at(error: SampleError, position: int) -> SampleError:
    """The error of one sample among several."""
    where = f"sample {position}" + (f": {error.where}" if error.where else "")
    found = SampleError(error.what, where=where, got=error.got, expected=error.expected, next_step=error.next_step)
    found.code = error.code
    return found
