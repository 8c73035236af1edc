"""onnxruntime without telemetry, and the device that it computes on. Nothing imports onnxruntime before this module.

onnxruntime reads the variable on import. Without the variable, onnxruntime writes a device id and a store of events for
Microsoft to `$HOME/.cache/Microsoft`; `disable_telemetry_events()` comes too late for that store.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the variable

from components.contracts.serving_spec import Device
from components.core.errors import CorruptArtifactError, ServingError

__all__ = ["onnxruntime", "session"]

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

LOG = logging.getLogger("bentoml.modelyard")


def session(
    path: Path,
    *,
    threads: int = 1,
    device: Device = "cpu",
    gpu_memory_mb: int | None = None,
    memory_pattern: bool = True,
) -> onnxruntime.InferenceSession:
    """Load a graph.

    Args:
        threads: of one call on the processor.
        device: `auto` is CUDA where onnxruntime has it and it works, else the processor; the log says which and why.
        gpu_memory_mb: most memory of this graph's arena on the GPU; None: what there is.
        memory_pattern: keep a plan of memory for each shape of the inputs.

    Raises:
        CorruptArtifactError: the graph does not load.
        ServingError: `cuda`, and onnxruntime cannot use it here.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = memory_pattern
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers: list[Any] = [CPU] if device == "cpu" else [*_cuda(device, gpu_memory_mb), CPU]
    try:
        loaded = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises a dozen classes of its own, without a common base
        raise CorruptArtifactError("the graph does not load", where=str(path), got=error) from error
    if len(providers) > 1 and CUDA not in loaded.get_providers():
        # The provider is in the library, and its CUDA libraries, or the GPU, are not there.
        _no_cuda(device, "onnxruntime has a CUDA provider that does not start: see its message on stderr")
    return loaded


def _cuda(device: Device, gpu_memory_mb: int | None) -> list[tuple[str, dict[str, str]]]:
    """The CUDA provider with its options; [] where this onnxruntime has none.

    Options as of onnxruntime's page on the CUDA execution provider. The arena takes what is needed, where by default it
    doubles; TF32 is off, since it rounds factors to 10 bits, and golden answers would differ.
    """
    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        _no_cuda(device, f"this onnxruntime has only {', '.join(available)}")
        return []
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN from the environment's packages
    limit = {} if gpu_memory_mb is None else {"gpu_mem_limit": str(gpu_memory_mb * 1024 * 1024)}
    return [(CUDA, {"arena_extend_strategy": "kSameAsRequested", "use_tf32": "0", **limit})]


def _no_cuda(device: Device, reason: str) -> None:
    if device == "cuda":
        raise ServingError(
            "serving.device is cuda, and there is no CUDA here",
            got=reason,
            expected=CUDA,
            next_step="install the requirements of the bundle on a machine with a GPU, or set serving.device: auto",
        )
    LOG.info("serving.device is auto: the processor is used, %s", reason)
