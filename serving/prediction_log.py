"""The prediction log of a worker: what it answered, appended to a file by the hour, beside the path of the answers.

The path adds an answer to a block (serving/log_block.py). A full block becomes a line at once, where that takes no
longer than `INLINE_SECONDS`, as a thread's turn would cost more; otherwise a thread does it. Every `FLUSH_SECONDS` the
thread writes the lines and the blocks that are not full: a process that is killed loses no more than that. What comes
while too much waits is dropped and counted. Describing inputs holds Python's lock, so where answers come fast it gets a
small share of the time, in small pieces; answers beyond it are logged without their row.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from components.contracts.prediction_log import (
    FEEDBACK,
    HOUR_SECONDS,
    PREDICTIONS,
    Feedback,
    LogSettings,
)
from components.tasks.task import Prediction
from serving import json_text, log_block, metrics
from serving.input_contract import Judgement
from serving.log_block import AnswerBlock
from serving.log_file import LogFile, log_folder
from serving.slots import ModelSlot

LOG = logging.getLogger("bentoml.modelyard")

FLUSH_SECONDS = 0.25
MOST_ANSWERS, MOST_BYTES = 20_000, 64_000_000  # that wait to be written; bytes of answers, inputs and arrays
BLOCK_ANSWERS = 128  # described and encoded at a time
INLINE_SECONDS = 0.001  # a block that is expected to take longer is described by the thread
DESCRIBED_ANSWERS = 8  # of a block that is described where answers come fast: others wait for no more than that
BURST_ANSWERS = 32  # of a block with rows: if they came at a rate that fills blocks between flushes, no more are added
DESCRIBE_SHARE = 0.001  # of the time, while requests wait
FAST_SHARE = 0.002  # of the time, while blocks are full before they are flushed (`BLOCK_ANSWERS` in `FLUSH_SECONDS`)
SWITCH_SECONDS = 0.0005  # after which Python's lock is given to a thread that waits, while inputs are described
_RETRY_SECONDS = 5.0  # after a write that failed


class _Lines(NamedTuple):
    """Lines that wait to be written, the requests and the bytes that they count for, and a time in their hour."""

    content: bytes
    answers: int
    bytes: int
    time: float


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
        self._settings, self._busy, self._share = settings, busy, settings.share
        self._names, self._patterns = frozenset(settings.redact), [re.compile(one) for one in settings.redact]
        self._file = LogFile(folder)
        self._lock = threading.Lock()  # of the open blocks and of what waits: several threads offer
        self._open: dict[tuple[int, str], AnswerBlock] = {}  # by the slot's id, which the block keeps, and role
        self._closed: deque[AnswerBlock | _Lines] = deque()
        self._answers = self._bytes = 0  # that wait, in blocks and lines
        self._refused = 0  # requests that came while too much waited
        self._failed = 0  # requests that could not be written; counted by the thread that writes
        self._told = 0  # of both, those that a written line has told
        self._described_at = self._described_seconds = 0.0  # the last block that was described
        self._to_describe = 0  # blocks with rows that are open, or wait
        self._switch_seconds = sys.getswitchinterval()
        self._filled, self._is_fast = 0, False  # blocks that were full since the last flush; whether any was before it
        self._describe_seconds: float | None = None  # of a sample, in the last block
        self._wake, self._end = threading.Event(), threading.Event()
        self._failed_until = 0.0
        self._thread = threading.Thread(target=self._follow, name="prediction-log", daemon=True)
        self._thread.start()

    @staticmethod
    def of_process(settings: LogSettings, busy: Callable[[], bool]) -> PredictionLog | None:
        """The log of this process; None where the environment names no folder, or nothing is to be logged."""
        folder = log_folder(settings)
        if folder is None:
            return None
        log = PredictionLog(folder, settings, busy)
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
        encoded: bytes | None = None,
        judgement: Judgement | None = None,
        embeddings: NDArray[Any] | None = None,
    ) -> None:
        """Log an answer.

        Args:
            samples: the arrays of the items, where they are at hand; else the answer has no row.
            role: of the slot, if it is not the slot's own.
            size: bytes of the request.
            judgement: the rows of the samples and what they miss, where expectations are enforced.
            encoded: the predictions as JSON, where that is at hand.
            embeddings: (N, D) of the samples, where the package has any.
        """
        if self._share < 1 and random.random() >= self._share:  # noqa: S311  # no secret
            return
        if encoded is None:
            encoded = json_text.dumps(predictions)
        now = time.time()
        key = id(slot), role or slot.role
        full = []
        with self._lock:
            block = self._open.get(key)
            if block is not None and now >= block.until:
                full.append(self._open.pop(key))
                block = None
            if block is None:
                block = self._open[key] = self._new_block(slot, key[1], now)
            added = len(encoded)
            is_described = block.has_rows or judgement is not None
            if is_described and embeddings is not None:
                added += embeddings.nbytes
            if block.has_rows or self._settings.inputs:
                added += size + sum(array.nbytes for sample in samples or () for array in sample.values())
            is_refused = self._answers >= MOST_ANSWERS or self._bytes + added > MOST_BYTES
            if is_refused:
                self._refused += 1
            else:
                self._answers += 1
                self._bytes += added
                block.bytes += added
                block.ids.append(prediction_id)
                block.times_us.append(int(now * 1e6))
                block.latencies_us.append(int(latency_seconds * 1e6))
                block.outputs.append(encoded)
                block.sizes.append(len(predictions))
                block.judgements.append(judgement)
                block.embeddings.append(embeddings if is_described else None)
                if block.has_rows or self._settings.inputs:
                    block.items.append(items)
                    block.samples.append(samples if block.has_rows else None)
                if self._is_full(block, now):
                    full.append(self._open.pop(key))
                    self._filled += 1
        if is_refused:
            metrics.LOG_DROPPED.inc()
        for block in full:
            if not block.ids:  # all of its answers were refused
                self._described(block)
                continue
            self._closed.append(self._encoded(block) if self._is_cheap(block) else block)

    def feedback(self, told: Sequence[Feedback]) -> None:
        """Write truths at once.

        Raises:
            OSError: they cannot be written.
        """
        now = time.time()
        lines = b"".join(orjson.dumps({**one.model_dump(), "arrived": now}) + b"\n" for one in told)
        self._file.append(now, FEEDBACK, lines)

    def stop(self) -> None:
        """Write what waits, and end the threads."""
        self._end.set()
        self._wake.set()
        self._thread.join()
        self._file.stop()

    def _new_block(self, slot: ModelSlot, role: str, now: float) -> AnswerBlock:
        share = DESCRIBE_SHARE if self._busy() else FAST_SHARE if self._is_fast else 1.0
        has_rows = time.perf_counter() >= self._described_at + self._described_seconds / share
        if share < 1 and self._to_describe:  # what that takes is not known yet
            has_rows = False
        self._to_describe += has_rows
        slot.is_described = has_rows
        return AnswerBlock(slot, role, (now // HOUR_SECONDS + 1) * HOUR_SECONDS, has_rows)

    def _is_full(self, block: AnswerBlock, now: float) -> bool:
        """Whether a block is closed; one that gets rows is small where answers come fast."""
        count = len(block.ids)
        if block.has_rows and not self._is_fast and count == BURST_ANSWERS:
            seconds = now - block.times_us[0] / 1e6
            self._is_fast = seconds * BLOCK_ANSWERS < BURST_ANSWERS * FLUSH_SECONDS
        return count >= (DESCRIBED_ANSWERS if block.has_rows and self._is_fast else BLOCK_ANSWERS)

    def _is_cheap(self, block: AnswerBlock) -> bool:
        if self._settings.inputs:
            return False
        if not block.has_rows:
            return True
        return self._describe_seconds is not None and self._describe_seconds * block.described() < INLINE_SECONDS

    def _encoded(self, block: AnswerBlock) -> _Lines:
        """A block as lines; in the thread that offered the last answer, or in the one that writes."""
        if not block.take_judged_rows() and block.has_rows and block.described():
            self._describe(block)
        block.summarise_embeddings()
        self._described(block)
        block.flag()
        if self._settings.inputs:
            items = (item for found in block.items for item in found)
            block.inputs = [log_block.kept_input(item, self._names, self._patterns) for item in items]
        line = block.line()
        with self._lock:
            self._bytes += len(line) - block.bytes
        return _Lines(line, len(block.ids), len(line), block.times_us[0] / 1e6)

    def _described(self, block: AnswerBlock) -> None:
        """A block has its rows, or needs none: the next one may be described."""
        with self._lock:
            self._to_describe -= block.has_rows

    def _describe(self, block: AnswerBlock) -> None:
        begin = time.perf_counter()
        sys.setswitchinterval(min(SWITCH_SECONDS, self._switch_seconds))  # Python's own 5 ms are half a request
        try:
            block.describe()
        except Exception:  # a task of a user: its answers are logged without rows
            LOG.exception("the inputs of the prediction log cannot be described")
            self._described_at = begin + 3600
            return
        finally:
            sys.setswitchinterval(self._switch_seconds)
        self._described_at, self._described_seconds = begin, time.perf_counter() - begin
        self._describe_seconds = self._described_seconds / block.described()

    def _follow(self) -> None:
        while not self._end.is_set():
            self._wake.wait(FLUSH_SECONDS)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write everything that waits, an hour in one write."""
        if time.monotonic() < self._failed_until and not self._end.is_set():
            return
        with self._lock:
            opened, self._open = self._open, {}
            self._filled, self._is_fast = 0, self._filled > 0
            self._closed.extend(opened.values())
        by_hour: dict[int, list[_Lines]] = {}
        while self._closed:
            found = self._closed.popleft()
            if isinstance(found, AnswerBlock):
                if not found.ids:
                    self._described(found)
                    continue
                found = self._encoded(found)
            by_hour.setdefault(int(found.time // HOUR_SECONDS), []).append(found)
        for members in by_hour.values():
            self._write(members)
        if not by_hour and self._refused + self._failed > self._told:
            self._write([_Lines(b"", 0, 0, time.time())])

    def _write(self, members: list[_Lines]) -> None:
        missing, answers = self._refused + self._failed, sum(one.answers for one in members)
        note = [log_block.dropped(missing - self._told)] if missing > self._told else []
        try:
            self._file.append(members[0].time, PREDICTIONS, b"".join([*note, *(one.content for one in members)]))
        except OSError as error:  # a full disk does not stop the service
            LOG.error("the prediction log cannot be written: %s", error)
            self._failed += answers
            metrics.LOG_DROPPED.inc(answers)
            self._failed_until = time.monotonic() + _RETRY_SECONDS
        else:
            self._told = missing
        with self._lock:
            self._answers -= answers
            self._bytes -= sum(one.bytes for one in members)
