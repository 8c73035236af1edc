"""Adaptive batching: requests that arrive while a batch is computed are computed together afterwards.

There is no waiting time: a lone request is computed at once, and the size of a batch follows from the load. It ends
where a batch would take longer than 10 ms, since each of its requests waits for all of it; a network that takes longer
for one sample computes one at a time, in each thread. A batch of a small network is computed on the event loop itself,
since a thread's turn would cost more than the network; what takes longer runs in the slot's threads, as many batches at
a time as there are threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from components.core.errors import InferenceError
from components.inference.predictor import Arrays, EmbeddedPredictions
from serving.problem import RefusedRequest

# A batch that is expected to take less is computed on the event loop; with several threads, which could compute
# meanwhile, only what takes no longer than the turns of a thread.
INLINE_SECONDS, INLINE_ALONE_SECONDS = 0.0005, 0.002
BATCH_SECONDS = 0.01  # no batch grows beyond it: each of its requests waits for all of it
SMOOTHING = 0.1  # weight of the last batch in the expected time
ALONE_EVERY = 8  # with a challenger beside it, each eighth request is computed alone, so that the two can be compared

Compute = Callable[[Sequence[Arrays], bool], EmbeddedPredictions]


class Computed(NamedTuple):
    """The answers to one request.

    Args:
        alone_seconds: processor time, if the request was computed alone.
    """

    answers: EmbeddedPredictions
    alone_seconds: float | None


@dataclass(slots=True, eq=False)
class _Waiting:
    samples: Sequence[Arrays]
    bucket: int
    done: asyncio.Future[Computed]
    is_gone: Callable[[], bool]
    until: float  # of the monotonic clock
    alone: bool
    embeds: bool


class Batcher:
    """The queue of one slot on one event loop.

    Args:
        compute: the answers to some samples, in order, with embeddings if that is asked; independent of what else is in
            the batch.
        threads, count: where batches are computed, and how many at a time.
        max_batch_size: most samples in a batch.
    """

    def __init__(self, compute: Compute, threads: Executor, count: int, max_batch_size: int) -> None:
        self._compute, self._threads, self._count, self._most = compute, threads, count, max_batch_size
        self._queue: deque[_Waiting] = deque()
        self._running = 0
        self._is_scheduled = False
        self._since_alone = 0
        self._seconds: dict[tuple[int, int], float] = {}  # expected processor time, by bucket and power of two of size

    def expected_seconds(self, bucket: int, size: int) -> float | None:
        """The processor time that a batch is expected to take; None before the first of about its kind."""
        power = size.bit_length()
        for smaller in range(power, 0, -1):
            if (known := self._seconds.get((bucket, smaller))) is not None:
                return known * float(1 << (power - smaller))
        return None

    async def answer(
        self,
        samples: Sequence[Arrays],
        until: float,
        is_gone: Callable[[], bool],
        *,
        compared: bool = False,
        embeds: bool = False,
    ) -> Computed:
        """The answers to a request's samples.

        Args:
            until: of the monotonic clock; a request that is not begun by then is not computed.
            is_gone: whether nobody waits for the answer any more.
            compared: some requests are to be computed alone.
            embeds: the answer is to have the embeddings of the samples, where the package has any.

        Raises:
            InferenceError: the graph failed on this request.
            RefusedRequest: it was not begun in time, or the client went away.
        """
        loop = asyncio.get_running_loop()
        self._since_alone += 1
        alone = compared and self._since_alone >= ALONE_EVERY
        if alone:
            self._since_alone = 0
        waiting = _Waiting(samples, _bucket(samples), loop.create_future(), is_gone, until, alone, embeds)
        self._queue.append(waiting)
        if not self._is_scheduled and self._running < self._count:
            self._is_scheduled = True
            loop.call_soon(self._begin, loop)  # behind the other requests of this turn of the loop
        return await waiting.done

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        while self._running < self._count and (batch := self._next()):
            size = sum(len(waiting.samples) for waiting in batch)
            expected = self.expected_seconds(batch[0].bucket, size)
            if expected is not None and expected < (INLINE_SECONDS if self._count > 1 else INLINE_ALONE_SECONDS):
                self._finish(batch, *self._run(batch))
            else:
                self._running += 1
                future = loop.run_in_executor(self._threads, self._run, batch)
                future.add_done_callback(lambda done, batch=batch: self._end(loop, batch, done))  # type: ignore[misc]

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        done: asyncio.Future[tuple[list[EmbeddedPredictions | Exception], float]],
    ) -> None:
        self._running -= 1
        if done.cancelled() or done.exception() is not None:
            error = RefusedRequest(503, "stopping", "this process is ending", retry_seconds=1)
            self._finish(batch, [error for _ in batch], 0.0)
        else:
            self._finish(batch, *done.result())
        self._begin(loop)

    def _next(self) -> list[_Waiting]:
        """The oldest request, with others of about the same length, up to the largest batch."""
        batch, size, kept = list[_Waiting](), 0, list[_Waiting]()
        now = time.monotonic() if self._queue else 0.0
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.done.done():  # cancelled
                continue
            if waiting.is_gone():
                waiting.done.set_exception(RefusedRequest(499, "disconnected", "the client went away"))
                continue
            if now > waiting.until:
                waiting.done.set_exception(RefusedRequest(504, "deadline", "the request waited too long"))
                continue
            fits = not batch or (
                not waiting.alone
                and size + len(waiting.samples) <= self._most
                and waiting.bucket == batch[0].bucket
                and (self.expected_seconds(waiting.bucket, size + len(waiting.samples)) or 0.0) <= BATCH_SECONDS
            )
            if not fits:
                kept.append(waiting)
                continue
            batch.append(waiting)
            size += len(waiting.samples)
            if waiting.alone or size >= self._most:
                break
        self._queue.extendleft(reversed(kept))
        return batch

    def _run(self, batch: list[_Waiting]) -> tuple[list[EmbeddedPredictions | Exception], float]:
        """The answers to each request, or its error; and the processor time."""
        begin = time.thread_time()
        samples = batch[0].samples if len(batch) == 1 else [one for waiting in batch for one in waiting.samples]
        results: list[EmbeddedPredictions | Exception]
        try:
            found = self._compute(samples, any(waiting.embeds for waiting in batch))
        except Exception as error:  # noqa: BLE001  # whatever it is, each request of the batch is to hear of it
            # Of several requests, one may be the cause.
            results = [error] if len(batch) == 1 else [self._alone(waiting) for waiting in batch]
        else:
            results, place = [], 0
            for waiting in batch:
                own = slice(place, place + len(waiting.samples))
                embeddings = None if found.embeddings is None else found.embeddings[own]
                results.append(EmbeddedPredictions(found.predictions[own], embeddings))
                place = own.stop
        return results, time.thread_time() - begin

    def _alone(self, waiting: _Waiting) -> EmbeddedPredictions | Exception:
        try:
            return self._compute(waiting.samples, waiting.embeds)
        except Exception as error:  # noqa: BLE001  # as above
            return error

    def _finish(
        self, batch: list[_Waiting], results: Sequence[EmbeddedPredictions | Exception], seconds: float
    ) -> None:
        size = sum(len(waiting.samples) for waiting in batch)
        if seconds:
            kind = (batch[0].bucket, size.bit_length())
            known = self._seconds.get(kind, seconds)
            self._seconds[kind] = known + SMOOTHING * (seconds - known)
        alone = seconds if len(batch) == 1 else None
        for waiting, result in zip(batch, results, strict=True):
            if waiting.done.done():  # cancelled meanwhile
                continue
            if isinstance(result, Exception):
                known_kind = isinstance(result, InferenceError | RefusedRequest)
                error = result if known_kind else InferenceError("the model failed", got=repr(result))
                waiting.done.set_exception(error)
            else:
                waiting.done.set_result(Computed(result, alone))


def _bucket(samples: Sequence[Arrays]) -> int:
    """About the largest first dimension of the samples' arrays, as a power of two: what a batch is padded to."""
    longest = 0
    for sample in samples:
        for values in sample.values():
            if values.ndim and len(values) > longest:
                longest = len(values)
    return longest.bit_length()
