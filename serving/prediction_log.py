"""The prediction log of a worker: what it answered, appended to a file by the hour, off the path of the answers.

The path appends a tuple to a queue in memory. A thread describes the inputs and writes blocks (see
components/contracts/prediction_log.py) every `FLUSH_SECONDS`: a process that is killed loses no more than that. What
comes while the queue is full is dropped and counted; while requests wait, inputs are described for `DESCRIBE_SHARE` of
the time, and answers beyond it are logged without their row.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import random
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from components.contracts.prediction_log import (
    BLOCK_FORMAT,
    FEEDBACK,
    FLAGS,
    FOLDER,
    PREDICTIONS,
    REDACTED,
    Feedback,
    LogSettings,
    hour_of,
)
from components.tasks import input_rows
from components.tasks.task import Prediction
from serving import input_contract, json_text, metrics
from serving.input_contract import Judgement
from serving.slots import ModelSlot

LOG = logging.getLogger("bentoml.modelyard")

FLUSH_SECONDS = 0.25
SYNC_SECONDS = 1.0  # between two writes to the disk itself, for a machine that loses its power
MOST_ANSWERS, MOST_BYTES = 20_000, 64_000_000  # that wait to be written; bytes of requests and their arrays
LEAST_FREE_BYTES = 500_000_000  # of the disk: with less, nothing is logged, as whoever may ask could fill it
BLOCK_ANSWERS = 64  # described and written at a time; for so long the path may wait for the interpreter
DESCRIBE_SHARE = 0.01  # of the time, while requests wait
_RETRY_SECONDS = 5.0  # after a write that failed


class Logged(NamedTuple):
    """An answer that waits to be written: a request with its samples."""

    id: str
    time: float
    latency_seconds: float
    slot: ModelSlot
    role: str
    items: Sequence[Any]
    samples: Sequence[dict[str, NDArray[Any]]] | None
    predictions: list[Prediction]
    bytes: int
    judgement: Judgement | None = None


def new_id() -> str:
    """The id of a prediction: the second it was made in, and 64 random bits."""
    return f"{int(time.time()):08x}-{os.urandom(8).hex()}"


class PredictionLog:
    """Writes what a worker answers below a folder.

    Args:
        folder: of the log; see `FOLDER`.
        busy: whether requests wait now.
    """

    def __init__(self, folder: Path, settings: LogSettings, busy: Callable[[], bool] = lambda: False) -> None:
        self._folder, self._settings, self._busy = folder, settings, busy
        self._patterns = [re.compile(pattern) for pattern in settings.redact]
        self._queue: deque[Logged] = deque()
        self._lock = threading.Lock()  # of the queue and its bytes: several threads offer
        self._bytes = 0
        self._refused = 0  # requests that came while the queue was full; counted by those who offer
        self._failed = 0  # requests that could not be written; counted by the thread that writes
        self._told = 0  # of both, those that a written block has told
        self._undescribed_until = 0.0
        self._wake, self._end, self._written = threading.Event(), threading.Event(), threading.Lock()
        self._process = f"{os.getpid()}-{int(time.time() * 1000):x}"
        self._synced = time.monotonic()
        self._failed_until = 0.0
        self._thread = threading.Thread(target=self._follow, name="prediction-log", daemon=True)
        self._thread.start()

    @staticmethod
    def of_process(settings: LogSettings, busy: Callable[[], bool]) -> PredictionLog | None:
        """The log of this process; None where the environment names no folder, or nothing is to be logged."""
        folder = os.environ.get(FOLDER)
        if not folder or settings.share == 0:
            return None
        log = PredictionLog(Path(folder), settings, busy)
        atexit.register(log.stop)
        return log

    def offer(
        self,
        slot: ModelSlot,
        prediction_id: str,
        items: Sequence[Any],
        samples: Sequence[dict[str, NDArray[Any]]] | None,
        predictions: list[Prediction],
        latency_seconds: float,
        role: str | None = None,
        size: int = 0,
        judgement: Judgement | None = None,
    ) -> None:
        """Queue an answer.

        Args:
            samples: the arrays of the items, where they are at hand; else the answer has no row.
            role: of the slot, if it is not the slot's own.
            size: bytes of the request.
            judgement: the rows of the samples and what they miss, where expectations are enforced.
        """
        share = self._settings.share
        if share < 1 and random.random() >= share:  # noqa: S311  # no secret
            return
        for sample in samples or ():
            size += sum(array.nbytes for array in sample.values())
        one = Logged(
            prediction_id, time.time(), latency_seconds, slot, role or slot.role, items, samples, predictions, size,
            judgement,
        )  # fmt: skip
        with self._lock:
            is_full = len(self._queue) >= MOST_ANSWERS or self._bytes + size > MOST_BYTES
            if is_full:
                self._refused += 1
            else:
                self._bytes += size
                self._queue.append(one)
        if is_full:
            metrics.LOG_DROPPED.inc()

    def feedback(self, told: Sequence[Feedback]) -> None:
        """Write truths at once.

        Raises:
            OSError: they cannot be written.
        """
        now = time.time()
        lines = b"".join(orjson.dumps({**one.model_dump(), "arrived": now}) + b"\n" for one in told)
        with self._written:
            self._append(self._file(now, FEEDBACK), lines)

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        self._end.set()
        self._wake.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.is_set():
            self._wake.wait(FLUSH_SECONDS)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        if time.monotonic() < self._failed_until and not self._end.is_set():
            return
        while self._queue:
            waiting = self._take()
            for hour, answers in _by_hour(waiting):
                missing = self._refused + self._failed
                content = b"".join(self._blocks(answers, missing - self._told))
                try:
                    with self._written:
                        self._append(self._file(hour, PREDICTIONS), content)
                except OSError as error:  # a full disk does not stop the service
                    LOG.error("the prediction log cannot be written: %s", error)
                    self._failed += len(answers)
                    metrics.LOG_DROPPED.inc(len(answers))
                    self._failed_until = time.monotonic() + _RETRY_SECONDS
                else:
                    self._told = missing
            if time.monotonic() < self._failed_until and not self._end.is_set():
                break
            if self._queue and not self._end.is_set():
                time.sleep(0.001)  # the path goes first

    def _take(self) -> list[Logged]:
        """The oldest answers that wait, as many as are written at a time."""
        with self._lock:
            found = [self._queue.popleft() for _ in range(min(len(self._queue), BLOCK_ANSWERS))]
            self._bytes -= sum(one.bytes for one in found)
        return found

    def _blocks(self, answers: Sequence[Logged], missing: int) -> Iterator[bytes]:
        """The lines of some answers: a block for each slot.

        Args:
            missing: requests that the log has not, which the first block tells.
        """
        by_slot: dict[tuple[int, str], list[Logged]] = {}
        for one in answers:
            by_slot.setdefault((id(one.slot), one.role), []).append(one)
        for (_, role), members in by_slot.items():
            slot = members[0].slot
            block: dict[str, Any] = {
                "format": BLOCK_FORMAT,
                "model": slot.about["name"],
                "version": slot.about["version"],
                "package": slot.about["package"],
                "role": role,
                "id": [one.id for one in members for _ in one.predictions],
                "index": [place for one in members for place in range(len(one.predictions))],
                "time": [round(one.time, 6) for one in members for _ in one.predictions],
                "latency_ms": [round(1000 * one.latency_seconds, 3) for one in members for _ in one.predictions],
                "output": [prediction for one in members for prediction in one.predictions],
            }
            described = {**self._described(members), **_flags(members)}
            if described:
                block["rows"] = described
            if self._settings.inputs:
                block["inputs"] = [self._input(item) for one in members for item in one.items]
            if missing:
                block["dropped"], missing = missing, 0
            yield json_text.dumps(block) + b"\n"

    def _described(self, answers: Sequence[Logged]) -> dict[str, list[Any]]:
        """Columns of the answers' rows, None where there is no row; {} if none is described."""
        judgements = [one.judgement for one in answers if one.judgement is not None]
        if len(judgements) == len(answers):
            rows = input_contract.shared_rows(answers[0].slot.loaded.predictor, judgements)
            if rows:
                return rows
        begin = time.perf_counter()
        if self._busy() and begin < self._undescribed_until:
            return {}
        chosen = [one for one in answers if one.samples is not None]
        items = [item for one in chosen for item in one.items]
        samples = [sample for one in chosen for sample in one.samples or ()]
        if not samples:
            return {}
        predictor = answers[0].slot.loaded.predictor
        try:
            found = input_rows.rows(predictor.task, predictor.processor, items, samples)
        except Exception:  # a task of a user: its answers are logged without rows
            LOG.exception("the inputs of the prediction log cannot be described")
            self._undescribed_until = begin + 3600
            return {}
        seconds = time.perf_counter() - begin
        self._undescribed_until = begin + seconds / DESCRIBE_SHARE
        if len(chosen) < len(answers):
            has_row = [one.samples is not None for one in answers for _ in one.predictions]
            places = iter(range(len(samples)))
            index = [next(places) if there else None for there in has_row]
            return {name: [None if at is None else values[at] for at in index] for name, values in found.items()}
        return found

    def _input(self, item: Any) -> Any:
        """An input as it is kept: bytes that are no text as base64, values that are not kept as `REDACTED`."""
        if isinstance(item, np.ndarray):
            return item.tolist()
        if isinstance(item, bytes):
            try:
                item = item.decode()
            except UnicodeDecodeError:
                import base64

                return {"base64": base64.b64encode(item).decode()}
        return self._redacted(item)

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, str):
            for pattern in self._patterns:
                value = pattern.sub(REDACTED, value)
            return value
        if isinstance(value, dict):
            names = self._settings.redact
            return {key: REDACTED if key in names else self._redacted(one) for key, one in value.items()}
        return [self._redacted(one) for one in value] if isinstance(value, list) else value

    def _file(self, seconds: float, suffix: str) -> Path:
        return self._folder / hour_of(seconds) / f"{self._process}{suffix}"

    def _append(self, path: Path, content: bytes) -> None:
        """Append lines in one write; what a failed write left of them is cut off.

        Raises:
            OSError: the disk has less than `LEAST_FREE_BYTES`, or refuses.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"less than {LEAST_FREE_BYTES // 1_000_000} MB are free on the disk", str(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                done = os.write(descriptor, content)
                while done < len(content):
                    done += os.write(descriptor, content[done:])
            except OSError:
                os.ftruncate(descriptor, before)
                raise
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fdatasync(descriptor)
                self._synced = time.monotonic()
        finally:
            os.close(descriptor)


def _flags(answers: Sequence[Logged]) -> dict[str, list[Any]]:
    """The column of the columns that each sample misses expectations on, as JSON; {} where nothing is enforced."""
    if all(one.judgement is None for one in answers):
        return {}
    found: list[Any] = []
    for one in answers:
        missed: list[list[str]] = [[] for _ in one.predictions]
        for each in one.judgement.missed if one.judgement else ():
            missed[each.sample].append(each.column)
        found += [orjson.dumps(names).decode() if one.judgement else None for names in missed]
    return {FLAGS: found}


def _by_hour(answers: Sequence[Logged]) -> Iterator[tuple[float, list[Logged]]]:
    """Answers of one hour together, in order."""
    found: dict[str, list[Logged]] = {}
    for one in answers:
        found.setdefault(hour_of(one.time), []).append(one)
    for members in found.values():
        yield members[0].time, members
