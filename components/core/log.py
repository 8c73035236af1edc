"""The type of functions that log a line."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], None]
