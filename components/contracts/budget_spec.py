"""`budget:` of a pipeline: what a model may cost, and what a larger one must gain."""

from __future__ import annotations

from pydantic import Field

from components.core.strict import Strict


class BudgetSpec(Strict):
    """Upper limits; a model over one of them is refused. Null: no limit.

    Args:
        parameters: of the network; checked at registration and at release.
        train_minutes: duration of the training loop with its validation; checked at registration.
        energy_wh: energy of the training in watt-hours, from counters or estimated; checked at registration.
        latency_ms: 99th percentile of one answer over HTTP under the load of `gates.latency`, or of 4 connections;
            checked at release.
        bundle_mb: size of the bundle in megabytes (10^6 bytes); checked at release.
        min_gain_per_doubling: what a version of more parameters than the champion's must gain on the task's first
            metric for each doubling of them, in the metric's own units; checked when it is to become champion.
    """

    parameters: int | None = Field(default=None, ge=1)
    train_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    energy_wh: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    latency_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    bundle_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    min_gain_per_doubling: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def applies_at_release(self) -> bool:
        """Whether a limit is checked at a release."""
        limits = (self.parameters, self.latency_ms, self.bundle_mb, self.min_gain_per_doubling)
        return any(limit is not None for limit in limits)
