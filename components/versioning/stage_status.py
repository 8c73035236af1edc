"""Whether a data stage is current."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageStatus:
    """A data stage: `ingest`, `validate` or `prepare`, and the reasons why it is not current."""

    stage: str
    current: bool
    reasons: tuple[str, ...]
