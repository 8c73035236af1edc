"""The files that the ranks of one training leave in a folder: their errors, and what they print."""

from __future__ import annotations

from pathlib import Path


def error_file(folder: Path, rank: int) -> Path:
    """Where a rank writes its error."""
    return folder / f"error-{rank}.json"


def log_file(folder: Path, rank: int) -> Path:
    """Where a rank but the first prints, if the ranks are on several nodes."""
    return folder / f"rank-{rank}.log"
