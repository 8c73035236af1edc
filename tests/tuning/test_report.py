"""The report of a study: table, pictures, page, and what it advises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.contracts.tune_report import TrialRow, TuneReport, TuneReportRequest
from components.contracts.tune_spec import TuneSpec
from components.tuning import space, stage
from components.tuning.record import StudyRecord, Told

SPACE: dict[str, Any] = {
    "train.learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "model.dropout": {"float": [0.0, 0.5]},
}


def report_of(folder: Path, monkeypatch: pytest.MonkeyPatch, trials: list[tuple[dict[str, Any], Told]]) -> TuneReport:
    spec = TuneSpec.model_validate({"space": SPACE})
    record = StudyRecord(f"sqlite:///{folder / 's.db'}", "s", ["maximize"])
    for number, (settings, told) in enumerate(trials):
        parameters, distributions = space.fixed(spec, settings or {"train.learning_rate": 1e-3, "model.dropout": 0.1})
        record.begin(number, settings, parameters, distributions, {})
        record.report(number, 1, 0.5)
        record.report(number, 2, told.values[0] if told.values else 0.1)
        record.tell(number, told)
    record.close()
    request = TuneReportRequest(
        storage=f"sqlite:///{folder / 's.db'}", study="s", pipeline="p", task="image-classification", dataset="d",
        metric="accuracy", spec=spec, target="report",
    )  # fmt: skip
    (folder / "request.json").write_text(request.model_dump_json())
    monkeypatch.chdir(folder)
    stage.main([str(folder / "request.json")])
    return TuneReport.model_validate_json((folder / "report" / "report.json").read_bytes())


def complete(value: float, loss: float = 0.3, parameters: int = 100, **facts: Any) -> Told:
    return Told("complete", (value,), {"loss": loss, "parameters": parameters, "seconds": 2.0, "epochs": 2, **facts})


@pytest.mark.slow
def test_a_search_that_went_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[tuple[dict[str, Any], Told]] = [({}, complete(0.80))]
    rates = [2e-4, 5e-4, 1e-3, 3e-3, 8e-3, 1e-2, 3e-2, 5e-2, 6e-2, 7e-2, 8e-2, 9.9e-2]
    for index, rate in enumerate(rates):
        settings = {"train.learning_rate": rate, "model.dropout": 0.02 * (index % 5)}
        trials.append((settings, complete(0.7 + 2 * rate, fingerprint="f" * 64)))
    trials.append(({"train.learning_rate": 2e-4, "model.dropout": 0.1}, Told("pruned", facts={"seconds": 0.4})))
    trials.append(({"train.learning_rate": 3e-4, "model.dropout": 0.1}, Told("failed", facts={"reason": "diverged"})))
    report = report_of(tmp_path, monkeypatch, trials)
    assert report.best == 12
    assert report.recipe == [0.80]
    assert report.counts() == {"complete": 13, "pruned": 1, "failed": 1}
    assert report.importances["train.learning_rate"] > 0.8
    assert set(report.pictures) == {"history.png", "epochs.png", "importances.png", "parallel.png", "slices.png"}
    advice = "\n".join(report.advice)
    assert "train.learning_rate is best at its upper end (0.099): widen its range" in advice
    assert "0.0980 above the recipe's" in advice
    assert "1 of 15 trials failed, 1 of them so: diverged" in advice
    assert "more trials are likely to find better" in advice
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "the test split was not read" in page
    lines = (tmp_path / "report" / "trials.csv").read_text().splitlines()
    assert lines[0].startswith("trial,state,accuracy,epochs,seconds,model.dropout,train.learning_rate,")
    assert len(lines) == 16
    assert "| 12 | 0.898 |" in report.markdown


@pytest.mark.slow
def test_a_search_that_found_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(tmp_path, monkeypatch, [({}, Told("failed", facts={"reason": "no"}))])
    assert (report.best, report.pictures) == (None, {})
    assert "no trial is complete" in report.advice[-1]
    assert json.loads((tmp_path / "report" / "report.json").read_text())["notes"]


@pytest.mark.slow
def test_a_best_trial_that_equals_the_recipe_is_no_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"train.learning_rate": 2e-3, "model.dropout": 0.1}
    failed = [Told("failed", facts={"reason": f"the loss is not finite; where: step {step}"}) for step in (7, 14)]
    trials: list[tuple[dict[str, Any], Told]] = [({}, complete(0.8)), (settings, complete(0.8, loss=0.2))]
    report = report_of(tmp_path, monkeypatch, [*trials, *((settings, told) for told in failed)])
    assert report.best == 1
    assert "equals the recipe's" in report.advice[0]
    assert "2 of 4 trials failed, 2 of them so: the loss is not finite" in report.advice


def test_equal_figures_are_ranked_by_size_then_by_loss(tmp_path: Path) -> None:
    rows = [
        TrialRow(number=number, state="complete", settings={"model.dropout": 0.1}, values=[0.9], loss=loss,
                       fingerprint=None, parameters=parameters, epochs=2, seconds=1.0)
        for number, (loss, parameters) in enumerate([(0.1, 50), (0.3, 40), (0.2, 40)])
    ]  # fmt: skip
    report = TuneReport(
        study="s", pipeline="p", task="t", dataset="d", metric="accuracy", objectives=["metric"],
        directions=["maximize"], trials=rows, best=None, front=[], recipe=[], importances={}, advice=[], pictures={},
    )  # fmt: skip
    assert [row.number for row in report.ranked()] == [2, 1, 0]
