"""Starts the process that the workers of a cluster on this machine are forked from, before this process needs it.

Both import at the same time. Standard library alone: a stage calls this before it imports anything heavy.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker
from typing import Any

# What a worker imports. Missing here, a module is imported by each worker.
_DASK = ("distributed.nanny", "distributed.worker", "distributed.comm.tcp", "components.cluster.call")
PREPARE = (
    *_DASK, "components.preparation.partition_tasks", "components.tasks.tabular",
    "components.tasks.table_processor",
)  # fmt: skip
SCORE = (*_DASK, "components.scoring.remote_part")


def start(cluster: dict[str, Any], modules: tuple[str, ...]) -> None:
    """Start the server of forks, without waiting for it, if the cluster is on this machine.

    The server and all that it forks ignore the terminal's Ctrl-C, which reaches all processes: the stage's process ends
    its cluster.

    Args:
        cluster: of `DaskSpec`.
    """
    if cluster.get("scheduler") is not None:
        return
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # its start would end the block of the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
