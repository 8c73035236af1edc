"""Runs partitions as tasks of a Dask cluster: one on this machine, which ends with the block, or an existing one.

Tasks read and write files and return little; a task of a worker that ends is repeated by Dask on another one.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import pickle
import platform
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import cloudpickle
import dask
import distributed
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.security import Security

from components.contracts.dask_request import DaskRequest
from components.contracts.runner_spec import DaskSpec
from components.core.errors import StackError, StageKilled
from components.core.progress import Progress
from components.preparation import dask_worker, partitions
from components.preparation.dask_call import PartitionCall

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAIT_SECONDS = 30.0  # for a scheduler's answer, and for its first worker
_ALONE_SECONDS = 120.0  # without any worker, then the run ends
_LOOK_SECONDS = 2.0
_SAME = (
    "python",
    "dask",
    "distributed",
    "numpy",
    "pyarrow",
    "pydantic",
)  # versions that workers share with this process
# No pages about the cluster, and none of Dask's messages about work that it repeats.
_CONFIGURATION: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}


@contextmanager
def opened(document: str, folder: Path) -> Iterator[DaskRunner]:
    """The runner of a `DaskRequest`.

    Args:
        folder: for temporary files.

    Raises:
        StackError: a cluster does not start, a scheduler does not answer or has no worker, or a worker lacks something.
    """
    request = DaskRequest.model_validate_json(document)
    spec = request.cluster
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(_CONFIGURATION), ExitStack() as during:
        if spec.scheduler is None:
            during.enter_context(_ending_on_sigterm())
            client = during.enter_context(_local(spec.workers or os.cpu_count() or 1, folder))
        else:
            client = during.enter_context(_existing(spec, spec.scheduler))
            during.enter_context(_prepared(client, spec.scheduler, request.code, folder))
        yield DaskRunner(client, spec, request.code)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block, so that the cluster is closed, and the process with it."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _local(workers: int, folder: Path) -> Iterator[distributed.Client]:
    """A cluster of processes of this machine. It asks for a certificate that is made for it, as other people's
    processes reach its ports, too."""
    security = Security.temporary()
    with ExitStack() as during:
        place = during.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="workers-"))
        during.enter_context(dask.config.set({"temporary-directory": place}))
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", protocol="tls://",
                dashboard_address="127.0.0.1:0", security=security, local_directory=place,
                silence_logs=logging.CRITICAL,
            )  # fmt: skip
        except (RuntimeError, OSError) as error:
            raise StackError(
                "the Dask workers do not start",
                where="this machine",
                got=str(error.__cause__ or error).splitlines()[0][:200],
                next_step="free memory, or name fewer `workers` in `run.prepare`",
            ) from error
        client = during.enter_context(distributed.Client(during.enter_context(cluster), security=security))
        client.register_plugin(dask_worker.IgnoresInterrupt())
        yield client


@contextmanager
def _existing(spec: DaskSpec, url: str) -> Iterator[distributed.Client]:
    security = None
    if spec.tls is not None:
        root = Path().absolute()  # the project
        ca, cert, key = (str(root / Path(path).expanduser()) for path in (spec.tls.ca, spec.tls.cert, spec.tls.key))
        security = Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    try:
        client = distributed.Client(url, security=security, timeout=_WAIT_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise StackError(
            "the Dask scheduler cannot be reached",
            where=url,
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            next_step="start it, or correct `scheduler` and `tls` of `run.prepare`; `runner: local` prepares here",
        ) from error
    with client:
        yield client


@contextmanager
def _prepared(client: distributed.Client, url: str, code: str | None, folder: Path) -> Iterator[None]:
    """Check the workers of an existing cluster, and let them import our code."""
    try:
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except TimeoutError as error:
        raise StackError("the Dask scheduler has no worker", where=url, next_step=f"dask worker {url}") from error
    found = client.get_versions(check=False)["workers"]
    _check_versions({name: about["packages"] for name, about in found.items()}, url)
    cloudpickle.register_pickle_by_value(dask_worker)
    try:
        _check_sight(client, url, folder.absolute())
        if code is None:
            yield
            return
        client.register_plugin(dask_worker.CodeFolder(code))
        try:
            yield
        finally:
            with suppress(Exception):  # the scheduler may be gone; the plugin only names a folder
                client.unregister_worker_plugin(dask_worker.CodeFolder.name)
    finally:
        cloudpickle.unregister_pickle_by_value(dask_worker)


def _version(name: str) -> str:
    return platform.python_version() if name == "python" else importlib.metadata.version(name)


def _check_versions(workers: dict[str, dict[str, Any]], url: str) -> None:
    """Raise if a worker has other versions; what it does not name is not compared."""
    for worker, has in workers.items():
        for name in _SAME:
            version = str(has.get(name, "")).split(".final")[0]
            if version and version != _version(name):
                raise StackError(
                    f"a Dask worker has another version of {name}",
                    where=f"{worker} of {url}",
                    got=version,
                    expected=_version(name),
                    next_step="start the workers with Modelyard's requirements (requirements.lock): other versions "
                    "make other data",
                )


def _check_sight(client: distributed.Client, url: str, folder: Path) -> None:
    """Raise unless all workers see the project's folder and have our requirements."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="dask-") as token:
        found = client.run(dask_worker.look, token.name, [name for name in _SAME if name != "python"])
    for worker, about in found.items():
        if not about["sees"]:
            raise StackError(
                "a Dask worker does not see the project's folder",
                where=f"{worker} on {about['host']}, of {url}",
                expected=str(folder),
                next_step="keep the project on a file system that all workers mount under this path, or name "
                "`workers` in place of `scheduler`",
            )
    missing = {worker: name for worker, about in found.items() for name, has in about["versions"].items() if not has}
    for worker, name in missing.items():
        raise StackError(
            f"a Dask worker has no {name}",
            where=f"{worker} of {url}",
            next_step="start the workers with Modelyard's requirements: pip install -r requirements.lock",
        )
    _check_versions({worker: about["versions"] for worker, about in found.items()}, url)


class DaskRunner:
    """A `PartitionRunner`."""

    is_here = False

    def __init__(self, client: distributed.Client, spec: DaskSpec, code: str | None) -> None:
        self._client, self._code = client, code
        self._where = spec.scheduler or "the Dask cluster on this machine"
        self._workers = self._known_workers()
        self._alone_since: float | None = None
        self.partition_rows = spec.partition_rows or partitions.ROWS
        self.workers = 1 if spec.partition_rows else max(1, len(self._workers))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
        """As `PartitionRunner.map`; some more items than there are threads are with Dask at a time."""
        waiting, given = deque(enumerate(items)), dict[distributed.Future, int]()
        results: dict[int, Result] = {}
        coming = 0
        try:
            with Progress(f"{label} with Dask", len(items), "partitions") as progress:
                while waiting or given:
                    while waiting and len(given) + len(results) < self._window():
                        number, item = waiting.popleft()
                        call = PartitionCall(function, item, self._code).as_bytes()
                        given[self._client.submit(pickle.loads, call, pure=False)] = number
                    for future in self._done(list(given)):
                        results[given.pop(future)] = self._result(future)
                        progress.advance(1)
                    while coming in results:
                        yield results.pop(coming)
                        coming += 1
        finally:
            self._client.cancel(list(given))

    def _window(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return 2 * threads + 2

    def _done(self, futures: list[distributed.Future]) -> list[distributed.Future]:
        """The futures that have ended, after the first of them has."""
        while True:
            with suppress(TimeoutError):
                found = distributed.wait(futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
                self._look_at_workers()
                return list(found.done)
            self._look_at_workers()

    def _result(self, future: distributed.Future) -> Any:
        try:
            outcome = future.result()
        except KilledWorker as error:
            raise StageKilled(
                "Dask's workers were killed, each at the same partition",
                where=self._where,
                got=str(error).splitlines()[0][:200],
                next_step="give the workers more memory, or set a smaller `partition_rows`, then run again",
            ) from error
        except (distributed.client.FutureCancelledError, CommClosedError) as error:
            raise StackError(
                "the Dask scheduler is gone", where=self._where, got=str(error).splitlines()[0][:200],
                next_step="run again when it is back; nothing half-made is left",
            ) from error  # fmt: skip
        return outcome.value()

    def _known_workers(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def _look_at_workers(self) -> None:
        """Say which workers are gone, and raise if there is none for long."""
        known = self._known_workers()
        if gone := self._workers - known:
            print(f"{len(gone)} Dask workers ended; their partitions are repeated", file=sys.stderr, flush=True)
        self._workers = known
        if known:
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since > _ALONE_SECONDS:
            raise StackError("no Dask worker is left", where=self._where, next_step="start workers, then run again")
