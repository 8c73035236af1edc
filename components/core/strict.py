"""The base of every contract: frozen, no silent conversions, unknown keys refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A value that crosses a wall."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
