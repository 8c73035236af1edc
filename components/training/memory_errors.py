"""Errors of a training that ran out of memory, with a setting that needs less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from components.contracts.train_spec import TrainSpec
from components.core.errors import TrainingError

# Of torch's CPU allocator, which raises RuntimeError; of oneDNN; of C++.
_TEXTS = ("DefaultCPUAllocator: ", "could not create a memory object", "bad_alloc", "CUBLAS_STATUS_ALLOC_FAILED")
OUT_OF_MEMORY = "the training is out of memory"


@contextmanager
def reported(spec: TrainSpec, device: str) -> Iterator[None]:
    """Turn what torch, numpy and Python raise without memory into a `TrainingError`; other errors pass.

    Args:
        device: its name, for the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(OUT_OF_MEMORY, where=device, got=first_line, next_step=next_step(spec)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the CPU or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def next_step(spec: TrainSpec) -> str:
    """What to set for less memory with the same steps, or with smaller ones."""
    parts = getattr(spec, "accumulation_steps", 1)
    smallest = 2 * spec.processes
    if spec.batch_size // (2 * parts) >= smallest:
        return (
            f"set train.accumulation_steps: {2 * parts}, which computes each batch of {spec.batch_size} in parts of "
            f"{spec.batch_size // (2 * parts)}, or train.batch_size: {spec.batch_size // 2}"
        )
    if spec.processes > 1 and spec.sharding == "none":
        return "set train.sharding: fsdp2, which splits the weights over the processes, or take a smaller network"
    return "take a smaller network, or shorter or smaller samples"
