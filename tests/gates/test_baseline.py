"""Both figures are said; a model that is no better than a baseline is refused where the pipeline demands it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import GatesSpec
from components.core.project import Project
from components.gates import report, stage
from components.identity.package import Package
from components.registry import registration
from components.release import ledger as ledgers
from flows.releases import promotion
from flows.releases.rollback_command import RollbackOutcome
from tests.gates.small_release import SmallRelease
from tests.release.small_ledger import side, write

BASELINES = [
    {"name": "the commonest class (dark) for every sample", "figures": {"accuracy": 0.4, "macro_f1": 0.2}},
    {"name": "a linear model", "figures": {"accuracy": 0.97, "macro_f1": 0.9}},
]


def metrics(is_better: bool) -> dict[str, Any]:
    known = BASELINES[:1] if is_better else BASELINES
    return {"baselines": known, "better_than_baselines": {"metric": "accuracy", "is_better": is_better}}


def look(release: SmallRelease, found: dict[str, Any] | None, **gates: Any) -> tuple[GateResult, str, Package]:
    request = release.request(release.bundle("a", metrics=found), None, ("baseline",), **gates)
    findings = stage.check(request)
    (result,) = findings.results
    package = Package.open(Path(request.candidate.bundle) / "src" / "package")
    return result, report.render(request, findings), package


def test_a_better_model_passes_and_both_figures_are_shown(release: SmallRelease) -> None:
    result, page, package = look(release, metrics(is_better=True), beats_baseline=True)
    assert result.passed
    assert (result.figures["model"], result.figures["baseline"]) == (pytest.approx(0.95), 0.4)
    assert "accuracy 0.9500 beside 0.4000 of the commonest class" in result.reason
    assert "<td>the model</td><td>0.9500</td>" in page
    assert "<td>the commonest class (dark) for every sample</td><td>0.4000</td>" in page
    assert "accuracy 0.9500 beside 0.4000" in registration._description(SimpleNamespace(package=package))  # type: ignore[arg-type]


def test_a_model_that_is_no_better_is_said_and_refused_only_on_demand(release: SmallRelease, tmp_path: Path) -> None:
    result, page, _ = look(release, metrics(is_better=False))
    assert result.passed
    assert "NO BETTER THAN A BASELINE: accuracy 0.9500 beside 0.9700 of a linear model" in result.reason
    assert "beats_baseline: true" in result.reason
    assert "NO BETTER THAN A BASELINE" in page

    ledger = ledgers.of(Project(tmp_path), "sample")
    write(ledger, "one", None, "2", "asked", "verified")
    figures = {"baseline": {"reason": result.reason, **result.figures}}
    ledger.append(
        "gated",
        release="one",
        role="champion",
        before=None,
        after=side("2"),
        asked_by="ann",
        facts={"figures": figures},
    )
    write(ledger, "one", None, "2", "served")
    outcome = RollbackOutcome(ledger.entries()[-1], "2", None)
    caution = promotion.caution(Project(tmp_path), "sample", outcome)
    assert caution is not None
    assert caution.startswith("version 2: NO BETTER THAN A BASELINE")


def test_a_model_that_is_no_better_is_refused_where_it_must_be_better(release: SmallRelease) -> None:
    result, _, _ = look(release, metrics(is_better=False), beats_baseline=True)
    assert not result.passed
    assert result.next_step
    assert "beats_baseline" not in GatesSpec().model_dump()


def test_a_package_without_baselines_is_refused_only_on_demand(release: SmallRelease) -> None:
    result, _, _ = look(release, None)
    assert result.passed
    assert "names no baseline" in result.reason


def test_a_demand_that_cannot_be_judged_is_not_met(release: SmallRelease) -> None:
    assert not look(release, None, beats_baseline=True)[0].passed
