"""The champion gate: when there is nothing to compare, when a candidate is good enough, when not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.gate_request import GateResult, ServedFigure
from components.contracts.pipeline import ChampionSpec, GatesSpec
from components.core.errors import CorruptArtifactError
from components.gates import stage
from components.tasks.image_classification import ImageClassificationProcessor
from tests import small_package
from tests.gates.small_release import SmallRelease

STRICT = GatesSpec(champion=ChampionSpec(min_effect=0.0))


def champion_result(release: SmallRelease, candidate: int, champion: int | None, **changes: object) -> GateResult:
    """The result for packages of two seeds; the one of seed 0 is good."""
    one = release.bundle("two", seed=candidate)
    other = None if champion is None else release.bundle("one", "1", seed=champion, train_fingerprint="9" * 64)
    request = release.request(one, other, ("champion",)).model_copy(update={"gates": STRICT, **changes})
    findings = stage.check(request)
    assert ("champion" in findings.pictures) == (findings.comparison is not None)
    (result,) = findings.results
    assert result.passed == (result.next_step is None)
    return result


@pytest.mark.slow
def test_a_better_one_passes(release: SmallRelease) -> None:
    result = champion_result(release, 0, 3)
    assert result.passed
    assert float(result.figures["lower_bound"]) > 0.3


@pytest.mark.slow
def test_a_worse_one_is_refused_with_the_class_it_loses_on(release: SmallRelease) -> None:
    result = champion_result(release, 3, 0)
    assert not result.passed
    assert float(result.figures["upper_bound"]) < 0
    assert "class" in str(result.next_step)


def test_an_equal_one_is_not_better(release: SmallRelease) -> None:
    result = champion_result(release, 0, 0)
    assert not result.passed
    assert result.figures["gain"] == 0
    assert "test samples do not show it" not in str(result.next_step)


@pytest.mark.slow
def test_many_promotions_do_not_each_lose_a_little(release: SmallRelease) -> None:
    """The margin is held against the best version that has served, not against the last one alone."""
    one, other = release.bundle("two"), release.bundle("one", "1", train_fingerprint="9" * 64)
    request = release.request(one, other, ("champion",))
    (equal,) = stage.check(request).results
    assert (equal.passed, len(str(equal.figures["test_data"]))) == (True, 64)
    for lost, passes in ((0.01, True), (0.03, False)):
        best = ServedFigure(version="7", figure=float(equal.figures["candidate"]) + lost)
        (result,) = stage.check(request.model_copy(update={"best_served": best})).results
        assert (result.passed, result.figures["best_version"]) == (passes, "7")
        assert f"the best that has served is version 7 with {best.figure:.4f}" in result.reason
        assert ("worse than that by more than 2 points" in result.reason) == (not passes)
    assert "modelyard promote sample 7" in str(result.next_step)


def test_without_champion_it_passes(release: SmallRelease) -> None:
    assert champion_result(release, 3, None).reason == "nothing serves yet"


def test_a_challenger_is_not_compared(release: SmallRelease) -> None:
    assert champion_result(release, 3, 0, role="challenger").passed


def test_the_champion_itself_passes(release: SmallRelease) -> None:
    one = release.bundle("one")
    (result,) = stage.check(release.request(one, one, ("champion",))).results
    assert result.passed
    assert result.reason == "it is the champion"


def test_where_no_comparison_is_asked_for_it_passes(release: SmallRelease) -> None:
    assert champion_result(release, 3, 0, gates=GatesSpec(champion=None)).passed


def test_a_champion_whose_package_is_damaged_is_an_error_not_a_refusal(release: SmallRelease) -> None:
    champion = release.bundle("one", "1", train_fingerprint="9" * 64)
    (Path(champion.bundle) / "src" / "package" / "model.onnx").write_bytes(b"")
    with pytest.raises(CorruptArtifactError, match=r"model\.onnx"):
        stage.check(release.request(release.bundle("two"), champion, ("champion",)))


def test_what_does_not_fit_the_data_is_refused(release: SmallRelease) -> None:
    candidate = release.bundle("two")
    prepared = release.dataset / "prepared"
    np.save(prepared / "test" / "images.npy", np.zeros((400, 9, 9, 1), np.uint8))
    ImageClassificationProcessor(
        height=9, width=9, channels=1, mean=[0.5], std=[0.25], classes=small_package.CLASSES
    ).save(prepared)
    release.prepare()
    findings = stage.check(release.request(candidate, release.bundle("one", "1", seed=3), ("floors", "champion")))
    assert [result.passed for result in findings.results] == [False, False]
    assert all("wrong shape" in result.reason for result in findings.results)
