"""Batches that are prepared in a thread while the one before is learnt; the batches are the same ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import torch

from components.training.batches import Batch

AHEAD = 2  # batches that are prepared or being prepared


def choose_prefetch(setting: Literal["auto", "always", "never"], device: torch.device) -> bool:
    """`auto` prefetches for a GPU, and on a CPU only if it has a core that torch's own threads do not use.

    Without a free core the thread would take its time from the training.
    """
    if setting != "auto":
        return setting == "always"
    return device.type == "cuda" or torch.get_num_threads() < len(os.sched_getaffinity(0))


def batches(
    prepare: Callable[[int], Batch], numbers: range, device: torch.device, *, prefetch: bool
) -> Iterator[Batch]:
    """The batches of these numbers, in order.

    On a GPU, a prefetched batch is copied and augmented on a stream of its own, beside the computation.

    Args:
        prepare: makes the batch of a number on the device; a function of the number alone.
    """
    if not prefetch:
        yield from map(prepare, numbers)
        return
    prepared = _on_own_stream(prepare, device) if device.type == "cuda" else _plain(prepare)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as executor:
        waiting: list[Future[Callable[[], Batch]]] = []
        following = iter(numbers)
        try:
            for _ in numbers:
                while len(waiting) < AHEAD and (number := next(following, None)) is not None:
                    waiting.append(executor.submit(prepared, number))
                yield waiting.pop(0).result()()
        finally:
            for future in waiting:
                future.cancel()


def _plain(prepare: Callable[[int], Batch]) -> Callable[[int], Callable[[], Batch]]:
    def run(number: int) -> Callable[[], Batch]:
        batch = prepare(number)
        return lambda: batch

    return run


def _on_own_stream(prepare: Callable[[int], Batch], device: torch.device) -> Callable[[int], Callable[[], Batch]]:
    """Prepare on a stream; the result waits for it on the stream of the caller, which then owns the memory too."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it without types

    def run(number: int) -> Callable[[], Batch]:
        with torch.cuda.stream(stream):
            batch = prepare(number)
            done = stream.record_event()

        def receive() -> Batch:
            current = torch.cuda.current_stream(device)
            current.wait_event(done)
            for tensor in batch.values():
                tensor.record_stream(current)
            return batch

        return receive

    return run
