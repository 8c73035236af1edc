"""Requests are computed together without a waiting time, and none suffers from what else is in its batch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from components.core.errors import InferenceError, NotFiniteError
from components.inference.predictor import Arrays, EmbeddedPredictions
from serving import batcher
from serving.batcher import Batcher, Computed
from serving.problem import RefusedRequest


def sample(value: float, length: int = 1) -> list[Arrays]:
    return [{"x": np.full(length, value)}]


class Doubling:
    """Doubles numbers, notes the sizes of its batches, waits where it is told to, fails at negative numbers."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, samples: Sequence[Arrays], embeds: bool) -> EmbeddedPredictions:
        self.sizes.append(len(samples))
        self.threads.add(threading.current_thread().name)
        assert self.goes_on.wait(10)
        numbers = [float(one["x"][0]) for one in samples]
        if min(numbers) < 0:
            raise NotFiniteError("not finite", got=min(numbers))
        return EmbeddedPredictions(
            [{"value": 2 * number} for number in numbers], np.asarray(numbers)[:, None] if embeds else None
        )


def never() -> bool:
    return False


def soon() -> float:
    return time.monotonic() + 10


@contextmanager
def made(compute: batcher.Compute, count: int = 1, most: int = 8) -> Iterator[Batcher]:
    with ThreadPoolExecutor(count, "pool") as threads:
        yield Batcher(compute, threads, count, most)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


async def together(one: Batcher, numbers: Sequence[float]) -> list[Computed | BaseException]:
    return await asyncio.gather(
        *(one.answer(sample(number), soon(), never) for number in numbers), return_exceptions=True
    )


def values(found: Sequence[Any]) -> list[float]:
    return [computed.answers.predictions[0]["value"] for computed in found]


def test_a_lone_request_is_computed_at_once_and_a_burst_together() -> None:
    doubling = Doubling()
    with made(doubling) as one:
        run(together(one, [1.0]))
        assert doubling.sizes == [1]
        doubling.sizes.clear()
        assert values(run(together(one, range(20)))) == [2.0 * number for number in range(20)]
    assert doubling.sizes == [8, 8, 4]  # of one turn of the loop, up to the largest batch


def test_what_arrives_meanwhile_is_the_next_batch() -> None:
    doubling = Doubling()

    async def work(one: Batcher) -> list[Computed | BaseException]:
        doubling.goes_on.clear()
        first = asyncio.create_task(one.answer(sample(1), soon(), never))
        while not doubling.sizes:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(one.answer(sample(number), soon(), never)) for number in (2, 3, 4)]
        await asyncio.sleep(0.01)
        doubling.goes_on.set()
        return list(await asyncio.gather(first, *others))

    with made(doubling) as one:
        assert values(run(work(one))) == [2, 4, 6, 8]
    assert doubling.sizes == [1, 3]


def test_small_work_stays_on_the_loop_and_large_work_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    doubling = Doubling()
    with made(doubling) as one:
        run(together(one, [1.0]))  # nothing is known yet: it may be large
        assert doubling.threads == {"pool_0"}
        run(together(one, [1.0]))
        assert doubling.threads == {"pool_0", threading.current_thread().name}
        doubling.threads.clear()
        monkeypatch.setattr(batcher, "INLINE_ALONE_SECONDS", 0.0)
        run(together(one, [1.0]))
    assert doubling.threads == {"pool_0"}


def test_one_request_that_fails_takes_no_other_along() -> None:
    with made(Doubling()) as one:
        good, bad, fine = run(together(one, [1, -1, 3]))
    assert values([good, fine]) == [2, 6]
    assert isinstance(bad, NotFiniteError)


def test_an_error_of_any_kind_reaches_who_asked() -> None:
    def broken(_: Sequence[Arrays], __: bool) -> EmbeddedPredictions:
        raise KeyError("logits")

    with made(broken) as one:
        (error,) = run(together(one, [1]))
    assert isinstance(error, InferenceError)
    assert "logits" in str(error.got)


def test_each_request_of_a_batch_has_its_own_embeddings_if_one_asks() -> None:
    async def work(one: Batcher) -> list[Computed]:
        asked = [one.answer([*sample(n), *sample(n + 1)], soon(), never, embeds=n == 2) for n in range(1, 4)]
        return await asyncio.gather(*asked)

    doubling = Doubling()
    with made(doubling) as one:
        found = run(work(one))
        (alone,) = run(asyncio.wait_for(one.answer(sample(5), soon(), never), 10)).answers.predictions
    assert doubling.sizes[0] == 6
    assert [computed.answers.embeddings.tolist() for computed in found] == [[[n], [n + 1]] for n in range(1, 4)]
    assert alone == {"value": 10}


def test_what_nobody_waits_for_is_not_computed() -> None:
    doubling = Doubling()

    async def work(one: Batcher) -> list[Computed | BaseException]:
        doubling.goes_on.clear()
        first = asyncio.create_task(one.answer(sample(1), soon(), never))
        while not doubling.sizes:
            await asyncio.sleep(0.001)
        late = asyncio.create_task(one.answer(sample(2), time.monotonic() + 0.01, never))
        gone = asyncio.create_task(one.answer(sample(3), soon(), lambda: True))
        cancelled = asyncio.create_task(one.answer(sample(4), soon(), never))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        doubling.goes_on.set()
        return list(await asyncio.gather(first, late, gone, cancelled, return_exceptions=True))

    with made(doubling) as one:
        first, late, gone, cancelled = run(work(one))
    assert values([first]) == [2]
    assert isinstance(late, RefusedRequest)
    assert (late.status, late.code) == (504, "deadline")
    assert isinstance(gone, RefusedRequest)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert doubling.sizes == [1]


def test_lengths_that_differ_much_are_not_padded_to_one_another() -> None:
    doubling = Doubling()

    async def work(one: Batcher) -> None:
        lengths = (3, 300, 2, 400)
        await asyncio.gather(*(one.answer(sample(1, length), soon(), never) for length in lengths))

    with made(doubling) as one:
        run(work(one))
    assert doubling.sizes == [2, 2]


def test_beside_a_challenger_some_requests_are_computed_alone() -> None:
    doubling = Doubling()

    async def work(one: Batcher) -> list[Computed]:
        answers = (one.answer(sample(number), soon(), never, compared=True) for number in range(16))
        return list(await asyncio.gather(*answers))

    with made(doubling, most=32) as one:
        found = run(work(one))
    assert values(found) == [2.0 * number for number in range(16)]
    assert doubling.sizes.count(1) == 2
    assert sum(computed.alone_seconds is not None for computed in found) == 2


def test_no_batch_grows_beyond_what_its_requests_would_wait_for() -> None:
    doubling = Doubling()
    with made(doubling, most=64) as one:
        one._seconds[(1, 1)] = 0.004  # of one sample
        run(together(one, range(6)))
    assert max(doubling.sizes) == 3  # expectations are by powers of two: of 2 and 3, 8 ms; of 4, 16 ms
