"""All random generators of a training: seeded at the start, saved in checkpoints, restored on resume."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.training.batches import derive_seed
from components.training.messages import log


def seed_all(seed: int, *, deterministic: bool) -> None:
    """Seed Python, numpy and torch (all devices).

    `deterministic` allows only bitwise reproducible kernels; an operation without one on a GPU raises RuntimeError (see
    torch's `use_deterministic_algorithms`).
    """
    random.seed(derive_seed(seed, "python"))
    np.random.seed(derive_seed(seed, "numpy") % 2**32)
    torch.manual_seed(derive_seed(seed, "torch"))
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by torch on CUDA
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time; we read only what was written


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of all generators, as tensors and as JSON."""
    name, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    version, internal, gauss_next = random.getstate()
    numpy_rest = [name, int(place), int(has_gauss), float(gauss)]
    return tensors, {"python": [version, list(internal), gauss_next], "numpy": numpy_rest}


def restore_random_state(tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Restore the result of `random_state`, also on another machine.

    A GPU that the checkpoint has no state of keeps the state of `seed_all`, and a state of a GPU that is not there is
    left out: both are logged, for the training then goes on with other draws than it would have made there.
    """
    name, place, has_gauss, gauss = rest["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, internal, gauss_next = rest["python"]
    random.setstate((version, tuple(internal), gauss_next))
    torch.set_rng_state(tensors["torch"])
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    stored = {int(name.removeprefix("cuda")): state for name, state in tensors.items() if name.startswith("cuda")}
    for index in sorted(stored.keys() & set(range(devices))):
        torch.cuda.set_rng_state(stored[index], index)
    if len(stored) != devices:
        log(
            f"the checkpoint is of a machine with {len(stored)} GPUs, this one has {devices}: random draws of the GPU,"
            " such as dropout, are other ones from here on"
        )
