"""The items of a JSON request, and errors with the position of a sample: for tasks that read one value a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from components.core.errors import SampleError

Item = TypeVar("Item")
Result = TypeVar("Result")


def of(document: Mapping[str, Any], item: str, items: str) -> list[Any]:
    """The items of a document with one of two keys: `item` for one value, `items` for a list of values.

    Raises:
        SampleError: the value of `items` is no list.
    """
    if items not in document:
        return [document[item]]
    values = document[items]
    if not isinstance(values, list):
        raise SampleError(f"{items} must be a list", got=type(values).__name__)
    return values


def each(function: Callable[[Item], Result], samples: Iterable[Item]) -> list[Result]:
    """The result of a function for each sample.

    Raises:
        SampleError: raised by `function`; `where` has the position of the sample.
    """
    results: list[Result] = []
    for position, sample in enumerate(samples):
        try:
            results.append(function(sample))
        except SampleError as error:
            raise at(error, position) from error
    return results


def at(error: SampleError, position: int) -> SampleError:
    """The error with the position of its sample."""
    where = f"sample {position}" + (f": {error.where}" if error.where else "")
    located = SampleError(error.what, where=where, got=error.got, expected=error.expected, next_step=error.next_step)
    located.code = error.code
    return located
