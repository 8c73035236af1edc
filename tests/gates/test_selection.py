"""The gate selection: who was scored on the test split, and whether validation and test share samples."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts.pipeline import GatesSpec
from components.contracts.selection import Chosen, SelectionSpec
from components.contracts.tune_report import TrialRow, TuneReport
from components.core.project import Project
from components.gates import evidence, selection, stage
from components.identity import manifest
from flows.pipelines import selections
from tests.gates.small_release import SmallRelease

CHOSEN = Chosen(study="digits-1", metric="accuracy", trials=40, scored=[])


def prepared(folder: Path, validation: list[str], test: list[str]) -> Path:
    rows = [("train", "a"), *(("validation", one) for one in validation), *(("test", one) for one in test)]
    table = {"split": [split for split, _ in rows], "content": [content for _, content in rows]}
    pq.write_table(pa.table(table), folder / "samples.parquet")
    return folder


@pytest.mark.parametrize(
    ("scored", "allowed", "validation", "words"),
    [
        ([], 0, ["b", "c"], None),
        ([3, 7], 0, ["b", "c"], "other trials have been scored on the test split too (number 3, 7; 2 in all)"),
        ([3, 7], 2, ["b", "c"], None),
        ([], 0, ["b", "d"], "1 of 2 samples of validation, which chose, are samples of test"),
    ],
)
def test_what_refuses_and_what_it_says(
    tmp_path: Path, scored: list[int], allowed: int, validation: list[str], words: str | None
) -> None:
    chosen = CHOSEN.model_copy(update={"scored": scored})
    result = selection.check(chosen, SelectionSpec(max_scored=allowed), prepared(tmp_path, validation, ["d", "e"]))
    assert result.passed == (words is None)
    assert (result.next_step is None) == result.passed
    if words is not None:
        assert words in result.reason
    else:
        assert "among 40 trials, by accuracy of the validation split" in result.reason
        assert ("3 of them" in result.reason) == bool(scored)
    if scored and not allowed:
        assert "max_scored: 2" in str(result.next_step)


def test_it_is_asked_through_the_stage_and_counts_in_the_evidence(release: SmallRelease) -> None:
    candidate = release.bundle("two", seed=0)
    prepared(release.folder, ["b"], ["d"])
    (release.dataset / "prepared" / "samples.parquet").write_bytes((release.folder / "samples.parquet").read_bytes())
    request = release.request(candidate, None, ("selection",)).model_copy(update={"gates": GatesSpec()})
    tuned = request.model_copy(update={"chosen": CHOSEN.model_copy(update={"scored": [1]})})
    (result,) = stage.check(tuned).results
    assert (result.gate, result.passed, result.figures["scored_on_test"]) == ("selection", False, 1)
    assert stage.check(request).results == []
    assert evidence.key(request) != evidence.key(tuned)


def test_a_study_knows_its_trainings_and_the_recipe_is_none_of_them(tmp_path: Path) -> None:
    project = Project(tmp_path)
    rows = [
        TrialRow(number=number, state="complete", settings={}, values=[0.5], loss=0.1, fingerprint=name * 64,
                 parameters=1, epochs=1, seconds=1.0)
        for number, name in enumerate("abc")
    ]  # fmt: skip
    report = TuneReport(
        study="p-1", pipeline="p", task="t", dataset="d", metric="accuracy", objectives=["metric"],
        directions=["maximize"], trials=rows, best=1, front=[], recipe=[0.5], importances={}, advice=[], pictures={},
    )  # fmt: skip
    selections.write(project, report, recipe="a" * 64, finalists=["d" * 64])
    selections.write(project, report, recipe="a" * 64, finalists=["e" * 64])
    assert selections.find(project, "p", "a" * 64) is None
    assert selections.find(project, "q", "b" * 64) is None
    for letter in "bcde":
        assert selections.find(project, "p", letter * 64) is not None
    for letter in "abc":  # all three have been scored: the recipe, the candidate and another one
        folder = tmp_path / ".modelyard" / "packages" / letter
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({}))
        manifest.seal(folder, "package", {"train_fingerprint": letter * 64})
    found = selections.find(project, "p", "b" * 64)
    assert found is not None
    assert selections.chosen(project, found, "b" * 64) == Chosen(study="p-1", metric="accuracy", trials=3, scored=[2])
