"""The base class of every contract: frozen, strict types, unknown keys forbidden."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A value that crosses a process or package boundary."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
