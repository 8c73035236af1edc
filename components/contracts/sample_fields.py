"""The fields of raw samples and their kinds."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text", "binary", "numbers", "json"]  # of a field of raw samples: str, bytes, float64 (n,), any JSON
Fields = dict[str, Kind]
