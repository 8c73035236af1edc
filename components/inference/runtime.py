"""onnxruntime with its telemetry off: the one place that imports it.

onnxruntime reads the variable when it is imported. Without the variable it keeps a device id and a store of events in
`$HOME/.cache/Microsoft`, to be sent to its maker; `disable_telemetry_events()` comes too late for that store.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the variable

__all__ = ["onnxruntime"]
