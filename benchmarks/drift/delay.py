"""Delay."""

from __future__ import annotations

from benchmarks.figure import Figure


def measure(repeats: int) -> list[Figure]:
    return []
