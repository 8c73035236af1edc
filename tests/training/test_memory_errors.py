"""A training without memory ends with a setting that needs less."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from components.contracts.train_spec import TrainSpec
from components.core.errors import TrainingError
from components.training import memory_errors

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_names_the_settings_that_need_less(error: Exception) -> None:
    with pytest.raises(TrainingError) as found, memory_errors.reported(TrainSpec(batch_size=64), "cpu"):
        raise error
    assert found.value.__cause__ is error
    assert found.value.what == "the training is out of memory"
    assert found.value.where == "cpu"
    assert "\n" not in str(found.value.got)
    assert str(found.value.next_step).startswith(
        "set train.accumulation_steps: 2, which computes each batch of 64 in parts of 32, or train.batch_size: 32"
    )


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors.reported(TrainSpec(), "cpu"):
        raise RuntimeError("shapes do not fit")


def test_the_smallest_batch_asks_for_another_network_or_split_weights() -> None:
    assert memory_errors.next_step(TrainSpec(batch_size=2)).startswith("take a smaller network")
    split = memory_errors.next_step(TrainSpec(batch_size=4, processes=2))
    assert split.startswith("set train.sharding: fsdp2")


@pytest.mark.slow
def test_an_allocation_that_really_fails_is_recognised() -> None:
    """torch's own error, in a process that may have no more memory than it has."""
    code = """
    import torch
    from components.contracts.train_spec import TrainSpec
    from components.core.errors import TrainingError
    from components.training import memory_errors
    try:
        with memory_errors.reported(TrainSpec(), "cpu"):
            torch.ones(1 << 46)
    except TrainingError as error:
        print(error.what)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "the training is out of memory\n"
