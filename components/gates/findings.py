"""The findings of a gate run: results for the flow, and details for the report."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.contracts.gate_request import GateResult

if TYPE_CHECKING:  # these import numpy and scipy; the endpoints start first
    from components.evaluation.baseline_figures import BaselineFigures
    from components.evaluation.comparison import ChampionComparison
    from components.gates.floors import Floor
    from components.gates.latency import EndpointLatency
    from components.gates.parity import Parity


def log(text: str) -> None:
    """Print a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Findings:
    """Results of all gates that ran, and details for the report.

    Args:
        results: for the flow, in the order of the gates.
        pictures: PNG files by gate: `champion`, `latency`.
    """

    results: list[GateResult] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    baseline: BaselineFigures | None = None
    comparison: ChampionComparison | None = None
    parity: Parity | None = None
    latency: list[EndpointLatency] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def add(self, result: GateResult) -> None:
        """Add the result of a gate and log it."""
        self.results.append(result)
        log(f"{result.gate}: {'passed' if result.passed else 'REFUSED'}: {result.reason}")
