"""Runs functions as tasks of a Dask cluster: one on this machine, which ends with the block, or an existing one.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self, TypeVar

import cloudpickle
import dask
import distributed
import distributed.utils
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.security import Security

from components.cluster import worker_setup
from components.cluster.call import FunctionCall
from components.contracts.dask_request import DaskRequest
from components.contracts.runner_spec import DaskSpec
from components.core.errors import ModelyardError, StackError, StageKilled

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAIT_SECONDS = 30.0  # for a scheduler's answer, and for its first worker
_ALONE_SECONDS = 120.0  # without any worker, then the run ends
_WAKE_SECONDS, _LOOK_SECONDS = 2.0, 0.25  # while nothing ends; between two looks at the workers
_SAME = (
    "python",
    "dask",
    "distributed",
    "numpy",
    "pyarrow",
    "pydantic",
)  # versions that workers share with this process
# No pages about the cluster, no samples of the tasks' stacks; workers are forked from the process of `prestart`.
_CONFIGURATION: dict[str, Any] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.multiprocessing-method": "forkserver",
}


class _Needs(NamedTuple):
    """What the workers of an existing scheduler must have.

    Args:
        folder, inputs: that they see.
        packages: whose versions they share with this process.
    """

    folder: Path
    inputs: Sequence[Path]
    packages: Sequence[str]


@contextmanager
def opened(
    request: DaskRequest, place: str, folder: Path, inputs: Sequence[Path] = (), *, packages: Sequence[str] = (),
    relief: str,
) -> Iterator[DaskCluster]:  # fmt: skip
    """The cluster of a request.

    Args:
        place: of the cluster's settings, for errors, as in `run.prepare`.
        folder: for temporary files; the workers of an existing scheduler must see it.
        inputs: further files and folders that these workers must see.
        packages: further ones whose versions these workers must share.
        relief: what to do if workers run out of memory, after "give the workers more memory, ".

    Raises:
        StackError: a cluster does not start, a scheduler does not answer or has no worker, or a worker lacks something.
    """
    spec = request.cluster
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # Dask's messages about work that it repeats
    with dask.config.set(_CONFIGURATION), ExitStack() as during:
        if spec.scheduler is None:
            during.enter_context(_ending_on_sigterm())
            client = during.enter_context(_local(spec.workers or os.cpu_count() or 1, place, folder))
        else:
            client = during.enter_context(_existing(spec, spec.scheduler, place))
            needs = _Needs(folder.absolute(), [path.absolute() for path in inputs], (*_SAME, *packages))
            during.enter_context(_prepared(client, spec.scheduler, request.code, needs))
        yield during.enter_context(DaskCluster(client, request, relief))


def examine(spec: DaskSpec, place: str, folder: Path, *, packages: Sequence[str], seconds: float) -> list[int]:
    """Check an existing cluster as `opened` does; returns the number of threads of each worker.

    Args:
        place, folder, packages: as of `opened`.
        seconds: for the scheduler to answer.

    Raises:
        StackError: the scheduler does not answer, or a worker lacks something.
    """
    assert spec.scheduler is not None  # noqa: S101  # the caller names one
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(_CONFIGURATION), _existing(spec, spec.scheduler, place, seconds) as client:
        known = client.scheduler_info(n_workers=-1)["workers"]
        if known:
            with _prepared(client, spec.scheduler, None, _Needs(folder.absolute(), (), (*_SAME, *packages))):
                pass
        return [int(about["nthreads"]) for about in known.values()]


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
def _local(workers: int, place: str, folder: Path) -> Iterator[distributed.Client]:
    """A cluster of processes of this machine. It asks for a certificate that is made for it, as other people's
    processes reach its ports, too."""
    # Else Dask imports pandas and all that it may work with here, and lets the server of forks import that.
    distributed.utils._forkserver_preload_set = True
    security = Security.temporary()
    with ExitStack() as during:
        scratch = during.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="workers-"))
        during.enter_context(dask.config.set({"temporary-directory": scratch}))
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", protocol="tls://",
                dashboard_address="127.0.0.1:0", security=security, local_directory=scratch,
                silence_logs=logging.CRITICAL,
            )  # fmt: skip
        except (RuntimeError, OSError) as error:
            raise StackError(
                "the Dask workers do not start",
                where="this machine",
                got=str(error.__cause__ or error).splitlines()[0][:200],
                next_step=f"free memory, or name fewer `workers` in `{place}`",
            ) from error
        yield during.enter_context(distributed.Client(during.enter_context(cluster), security=security))


@contextmanager
def _existing(spec: DaskSpec, url: str, place: str, seconds: float | None = None) -> Iterator[distributed.Client]:
    security = None
    if spec.tls is not None:
        root = Path().absolute()  # the project
        ca, cert, key = (str(root / Path(path).expanduser()) for path in (spec.tls.ca, spec.tls.cert, spec.tls.key))
        security = Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    try:
        client = distributed.Client(url, security=security, timeout=seconds or _WAIT_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise StackError(
            "the Dask scheduler cannot be reached",
            where=url,
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            next_step=f"start it, or correct `scheduler` and `tls` of `{place}`; `runner: local` runs the stage here",
        ) from error
    with client:
        yield client


@contextmanager
def _prepared(client: distributed.Client, url: str, code: str | None, needs: _Needs) -> Iterator[None]:
    """Check the workers of an existing cluster, and let them import our code."""
    try:
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except TimeoutError as error:
        raise StackError("the Dask scheduler has no worker", where=url, next_step=f"dask worker {url}") from error
    found = client.get_versions(check=False)["workers"]
    _check_versions({name: about["packages"] for name, about in found.items()}, url)
    cloudpickle.register_pickle_by_value(worker_setup)
    try:
        _check_workers(client, url, needs)
        if code is None:
            yield
            return
        client.register_plugin(worker_setup.CodeFolder(code))
        try:
            yield
        finally:
            with suppress(Exception):  # the scheduler may be gone; the plugin only names a folder
                client.unregister_worker_plugin(worker_setup.CodeFolder.name)
    finally:
        cloudpickle.unregister_pickle_by_value(worker_setup)


def _version(name: str) -> str:
    return platform.python_version() if name == "python" else importlib.metadata.version(name)


def _check_versions(workers: dict[str, dict[str, Any]], url: str, packages: Sequence[str] = _SAME) -> None:
    """Raise if a worker has other versions; what it does not name is not compared."""
    for worker, has in workers.items():
        for name in packages:
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


def _check_workers(client: distributed.Client, url: str, needs: _Needs) -> None:
    """Raise unless all workers see the files and have the packages."""
    with tempfile.NamedTemporaryFile(dir=needs.folder, prefix="dask-") as token:
        paths = {token.name: needs.folder, **{str(path): path for path in needs.inputs}}
        found = client.run(worker_setup.look, list(paths), [name for name in needs.packages if name != "python"])
    for worker, about in found.items():
        for path, shown in paths.items():
            if path not in about["sees"]:
                raise StackError(
                    "a Dask worker does not see a file or folder of this machine",
                    where=f"{worker} on {about['host']}, of {url}",
                    expected=str(shown),
                    next_step="keep it on a file system that all workers mount under this path, or name `workers` in "
                    "place of `scheduler`",
                )
    missing = {worker: name for worker, about in found.items() for name, has in about["versions"].items() if not has}
    for worker, name in missing.items():
        raise StackError(
            f"a Dask worker has no {name}",
            where=f"{worker} of {url}",
            next_step="start the workers with Modelyard's requirements: pip install -r requirements.lock",
        )
    _check_versions({worker: about["versions"] for worker, about in found.items()}, url, needs.packages)


class DaskCluster:
    """Runs functions on the workers; a context manager that cancels what is left.

    Args:
        relief: as of `opened`.
        is_on_this_machine: whether the cluster's processes are of this machine, and end with it.
    """

    def __init__(self, client: distributed.Client, request: DaskRequest, relief: str) -> None:
        self._client, self._code, self._relief = client, request.code, relief
        self._where = request.cluster.scheduler or "the Dask cluster on this machine"
        self.is_on_this_machine = request.cluster.scheduler is None
        self._given: dict[distributed.Future, int] = {}
        self._threads = self._known_workers()
        self._looked_at = time.monotonic()
        self._alone_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._given:
            self._client.cancel(list(self._given))

    @property
    def workers(self) -> int:
        """Number of workers, as last seen."""
        return len(self._threads)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """The number of each item and the function's result, as they end; some more items than there are threads are
        with Dask at a time, and no more are taken.

        Raises:
            ModelyardError, OtherRowsError: what the function raised.
            StageKilled: workers were killed again and again at an item.
            StackError: the scheduler is gone, or there is no worker for long.
        """
        coming = enumerate(items)
        while True:
            while len(self._given) < self._window() and (found := next(coming, None)) is not None:
                number, item = found
                call = FunctionCall(function, item, self._code).as_bytes()
                self._given[self._client.submit(pickle.loads, call, pure=False)] = number
            if not self._given:
                self._look_at_workers(0.0)
                return
            for future in self._done():
                yield self._given.pop(future), self._result(future)

    def drain(self, seconds: float) -> Iterator[tuple[int, Any]]:
        """As `map`, after it was left: what ends in so many seconds, at most as much as there are threads."""
        until = time.monotonic() + seconds
        for _ in range(sum(self._threads.values())):
            with suppress(TimeoutError):
                distributed.wait(list(self._given), timeout=until - time.monotonic(), return_when="FIRST_COMPLETED")
            for future in [future for future in self._given if future.status == "finished"]:
                with suppress(ModelyardError):
                    yield self._given.pop(future), self._result(future)

    def _window(self) -> int:
        return 2 * sum(self._threads.values()) + 2

    def _done(self) -> list[distributed.Future]:
        """The futures that have ended, after the first of them has."""
        while True:
            self._look_at_workers()
            with suppress(TimeoutError):
                found = distributed.wait(list(self._given), timeout=_WAKE_SECONDS, return_when="FIRST_COMPLETED")
                return list(found.done)

    def _result(self, future: distributed.Future) -> Any:
        try:
            outcome = future.result()
        except KilledWorker as error:
            raise StageKilled(
                "Dask's workers were killed, each at the same task",
                where=self._where,
                got=str(error).splitlines()[0][:200],
                next_step=f"give the workers more memory, {self._relief}, then run again",
            ) from error
        except (distributed.client.FutureCancelledError, CommClosedError) as error:
            raise StackError(
                "the Dask scheduler is gone", where=self._where, got=str(error).splitlines()[0][:200],
                next_step="run again when it is back; nothing half-made is left",
            ) from error  # fmt: skip
        return outcome.value()

    def _known_workers(self) -> dict[str, int]:
        """Number of threads of each worker."""
        known = self._client.scheduler_info(n_workers=-1)["workers"]
        return {name: int(about["nthreads"]) for name, about in known.items()}

    def _look_at_workers(self, seconds: float = _LOOK_SECONDS) -> None:
        """Say which workers are gone, and raise if there is none for long; after so many seconds."""
        now = time.monotonic()
        if now - self._looked_at < seconds:
            return
        self._looked_at, known = now, self._known_workers()
        if gone := self._threads.keys() - known.keys():
            ended = "a Dask worker ended: its" if len(gone) == 1 else f"{len(gone)} Dask workers ended: their"
            print(f"{ended} tasks are repeated", file=sys.stderr, flush=True)
        self._threads = known
        if known:
            self._alone_since = None
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since > _ALONE_SECONDS:
            raise StackError("no Dask worker is left", where=self._where, next_step="start workers, then run again")
