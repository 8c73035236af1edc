"""onnxruntime without telemetry: the only module that imports it.

onnxruntime reads the variable on import. Without the variable, onnxruntime writes a device id and a store of events for
Microsoft to `$HOME/.cache/Microsoft`; `disable_telemetry_events()` comes too late for that store.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the variable

__all__ = ["onnxruntime"]
