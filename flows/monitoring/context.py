"""What a look of the monitor works with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from components.contracts.monitor_spec import MonitorSpec
from components.contracts.pipeline import PipelineSpec
from components.core.log import Log
from components.core.project import Project
from components.monitoring import orders
from components.monitoring.policy import PastOrder
from components.registry.api import Api
from components.release import ledger as ledgers
from components.release.ledger import Ledger

ASKED_BY = "modelyard monitor"


@dataclass(frozen=True)
class MonitorContext:
    """A model, its pipeline and its servers.

    Args:
        by: who or what decides: the monitor, or a person who approved a proposal.
    """

    project: Project
    pipeline: PipelineSpec
    api: Api
    log: Log
    by: str = ASKED_BY
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ledger", ledgers.of(self.project, self.name))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.pipeline.name

    @property
    def spec(self) -> MonitorSpec:
        """The section `monitor:`, or its defaults."""
        return self.pipeline.monitor or MonitorSpec()

    def entries(self) -> list[tuple[str, dict[str, Any]]]:
        """Time and facts of the ledger's entries of the monitor."""
        return [(one.time, one.facts) for one in self.ledger.entries() if one.event == orders.EVENT]

    def past(self) -> list[PastOrder]:
        """All orders so far."""
        return orders.past(self.entries())

    def record(self, facts: dict[str, Any]) -> None:
        """Add an entry of the monitor to the ledger."""
        release = f"monitor-{facts.get('order') or secrets.token_hex(4)}"
        self.ledger.append(
            "monitored", release=release, role="champion", before=None, after=None, asked_by=self.by, facts=facts
        )
