"""`python -m components.gates REQUEST.json`: the gates of a release, and what they found."""

from __future__ import annotations

from typing import Literal

from components.contracts.budget_spec import BudgetSpec
from components.contracts.pipeline import GatesSpec
from components.contracts.request_file import RequestFile
from components.contracts.selection import Chosen
from components.core.strict import Strict

# `load` and `watch` are no questions asked beforehand: the service cannot load a version, or it failed once it served.
Gate = Literal[
    "integrity",
    "floors",
    "baseline",
    "selection",
    "champion",
    "parity",
    "latency",
    "budget",
    "manual",
    "permission",
    "load",
    "watch",
]


class Candidate(Strict):
    """A version with its bundle.

    Args:
        bundle: the Bento's folder; `src/` in it holds our part, with `package/`.
        bundle_key: what the bundle was made of.
    """

    name: str
    version: str
    package_digest: str
    bundle: str
    bundle_key: str


class ServedFigure(Strict):
    """The best figure on the present test split of a version that has served as champion."""

    version: str
    figure: float


class GateRequest(RequestFile):
    """What the gates are asked; paths are relative to the project's root, the working directory.

    Args:
        pipeline: name of the pipeline; the package must be of it.
        role: which alias asks; a challenger is not compared with the champion beforehand, that is what it runs for.
        champion: what serves now; None: nothing does.
        best_served: by the champion gate's metric; None: no version that has served was compared on this test split.
        budget: of the pipeline, for the gate `budget`.
        chosen: how a search chose the candidate, for the gate `selection`; None: no search did.
        asked: the gates to go through (`manual` is the flow's).
        dataset: the dataset's folder, with `validated/` and `prepared/`.
        folder: where `evidence.json`, `report.html` and the plots go.
    """

    pipeline: str
    role: Literal["champion", "challenger"]
    candidate: Candidate
    champion: Candidate | None
    best_served: ServedFigure | None = None
    asked: list[Gate]
    gates: GatesSpec
    budget: BudgetSpec | None = None
    chosen: Chosen | None = None
    dataset: str
    folder: str


class GateResult(Strict):
    """What one gate found.

    Args:
        figures: what was measured, by name.
        limit: what was asked for, in words.
        reason: one sentence: why it passed, or why not.
        next_step: after a refusal, what a person can do.
    """

    gate: Gate
    passed: bool
    figures: dict[str, float | int | str]
    limit: str
    reason: str
    next_step: str | None = None


class GateEvidence(Strict):
    """`evidence.json`; the same key asks the same question again.

    Args:
        key: digest of candidate, champion, gates asked, test data and the gates' own code.
        report: the report's file beside it.
    """

    key: str
    results: list[GateResult]
    report: str

    @property
    def passed(self) -> bool:
        """Whether every gate did."""
        return all(result.passed for result in self.results)
