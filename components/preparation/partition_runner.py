"""Runs a function on many items: in this process, or on a Dask cluster (dask_runner.py)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from components.contracts.dask_variable import VARIABLE
from components.core.ahead import mapped
from components.core.progress import Progress
from components.preparation import partitions

Item = TypeVar("Item")
Result = TypeVar("Result")
Place = Literal["process", "machine", "elsewhere"]


class PartitionRunner(Protocol):
    """Where partitions are worked on.

    Args:
        partition_rows: most rows of a partition.
        workers: how many partitions are worked on at a time: fewer would leave workers without one.
        place: `process`: this one, so that large results need no file, and what has no partitions can be done, too;
            `machine`: processes of this one, which share its files; `elsewhere`: processes that see its files.
    """

    partition_rows: int
    workers: int
    place: Place

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
        """The function's results in the order of the items, with progress on stderr.

        What the function raises is raised.

        Args:
            label: the activity, as in `decoding digits`.
        """
        ...


class HereRunner:
    """Runs in this process: the next items in threads, while the last result is used.

    Args:
        threads: Arrow and NumPy use two processors so; Python's lock keeps more of them idle.
    """

    partition_rows = partitions.ROWS
    workers = 1
    threads = 2
    place: Place = "process"

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
        """As `PartitionRunner.map`."""
        with Progress(label, len(items), "partitions") as progress:
            for result in mapped(function, items, min(self.threads, os.cpu_count() or 1)):
                yield result
                progress.advance(1)


def opened(folder: Path) -> AbstractContextManager[PartitionRunner]:
    """The runner that the environment names.

    Args:
        folder: for temporary files of a cluster on this machine.

    Raises:
        StackError: the cluster cannot be used.
    """
    if (document := os.environ.get(VARIABLE)) is None:
        return nullcontext(HereRunner())
    # By its name: what runs the partitions is no part of the code that makes the data.
    module: Any = importlib.import_module("components.preparation.dask_runner")
    cluster: AbstractContextManager[PartitionRunner] = module.opened(document, folder)
    return cluster
