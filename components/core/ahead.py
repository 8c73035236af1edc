"""Read ahead: the next items are made in threads while the last one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items in their order; one more is held in memory. What the iterator raises is raised in its turn.

    Worth it where making and using an item leave the interpreter's lock to each other, as Arrow and NumPy do.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # not the end


def mapped(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """The function's results in the order of the items; so many are made in threads while the last one is used.

    What the function raises is raised in its turn. Worth it as `ahead` is.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        coming = deque(pool.submit(function, item) for item in islice(waiting, threads))
        while coming:
            result = coming.popleft().result()
            coming += [pool.submit(function, item) for item in islice(waiting, 1)]
            yield result
