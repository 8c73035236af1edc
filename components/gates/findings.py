"""What the gates found, gathered while they are gone through."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.contracts.gate_request import GateResult

if TYPE_CHECKING:  # numpy and scipy come with them; the endpoints are started first
    from components.evaluation.comparison import ChampionComparison
    from components.gates.floors import Floor
    from components.gates.latency import Measured
    from components.gates.parity import Parity

Say = Callable[[str], None]


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Found:
    """Results for the flow, and what the report shows beside them.

    Args:
        pictures: PNG files, `champion` and `latency`, where there are any.
    """

    results: list[GateResult] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    comparison: ChampionComparison | None = None
    parity: Parity | None = None
    latency: list[Measured] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def add(self, result: GateResult) -> None:
        """Take a gate's result and say it."""
        self.results.append(result)
        say(f"{result.gate}: {'passed' if result.passed else 'REFUSED'}: {result.reason}")
