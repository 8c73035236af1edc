"""Runs partitions as tasks of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from components.cluster import dask_cluster
from components.cluster.dask_cluster import DaskCluster
from components.contracts.dask_request import DaskRequest
from components.core.progress import Progress
from components.preparation import partitions
from components.preparation.partition_runner import Place

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def opened(document: str, folder: Path) -> Iterator[DaskRunner]:
    """The runner of a `DaskRequest`; as `dask_cluster.opened`."""
    request = DaskRequest.model_validate_json(document)
    relief = "or set a smaller `partition_rows`"
    with dask_cluster.opened(request, "run.prepare", folder, relief=relief) as cluster:
        yield DaskRunner(cluster, request.cluster.partition_rows)


class DaskRunner:
    """A `PartitionRunner`.

    Args:
        rows: most rows of a partition; None: the default, or fewer, so that each worker has one.
    """

    def __init__(self, cluster: DaskCluster, rows: int | None) -> None:
        self._cluster = cluster
        self.place: Place = "machine" if cluster.is_on_this_machine else "elsewhere"
        self.partition_rows = rows or partitions.ROWS
        self.workers = 1 if rows else max(1, cluster.workers)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
        """As `PartitionRunner.map`."""
        results: dict[int, Result] = {}
        coming = 0
        with Progress(f"{label} with Dask", len(items), "partitions") as progress:
            for number, result in self._cluster.map(function, items):
                results[number] = result
                progress.advance(1)
                while coming in results:
                    yield results.pop(coming)
                    coming += 1
