"""Integrity: one wrong thing each, in bundle, package, data or figures, is named; newer data is not held against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.gate_request import Candidate, GateResult
from components.gates import stage
from components.identity.package import Package
from tests import small_package
from tests.gates.small_release import SAMPLES, SmallRelease


def look(release: SmallRelease, candidate: Candidate) -> GateResult:
    (result,) = stage.check(release.request(candidate, None, ("integrity",))).results
    assert result.passed == (result.next_step is None)
    return result


def test_a_whole_bundle_passes(release: SmallRelease) -> None:
    result = look(release, release.bundle("good"))
    assert result.passed, result.reason
    assert result.figures["data"] == "its own"
    assert result.figures["accuracy_sealed"] == pytest.approx(0.95)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "file", ["package/model.onnx", "package/golden/001.png", "package/signature.json", "serving.json", "manifest.json"]
)
def test_a_flipped_byte_is_named(release: SmallRelease, file: str) -> None:
    candidate = release.bundle("tampered")
    flip(Path(candidate.bundle) / "src" / file)
    result = look(release, candidate)
    assert not result.passed
    assert file in result.reason


def test_a_package_changed_and_sealed_again_into_the_bundle_is_another_package(release: SmallRelease) -> None:
    candidate = release.bundle("swapped")
    folder = Path(candidate.bundle)
    other = small_package.build(folder / "src" / "package", seed=5, facts=release.facts)
    release.seal(folder, other, candidate.version)
    result = look(release, candidate)
    assert not result.passed
    assert other.digest[:12] in result.reason
    assert candidate.package_digest[:12] in result.reason


def test_another_pipelines_package_is_refused(release: SmallRelease) -> None:
    result = look(release, release.bundle("other", pipeline="flowers"))
    assert not result.passed
    assert "another pipeline's package" in result.reason
    assert "flowers" in result.reason


def test_a_bundle_of_another_version_is_refused(release: SmallRelease) -> None:
    candidate = release.bundle("old", version="2").model_copy(update={"version": "3"})
    result = look(release, candidate)
    assert not result.passed
    assert "version 2, not 3" in result.reason


def test_a_bundle_that_is_not_there_is_refused(release: SmallRelease) -> None:
    candidate = release.bundle("gone").model_copy(update={"bundle": str(release.folder / "nowhere")})
    assert not look(release, candidate).passed


def test_better_looking_figures_are_caught(release: SmallRelease) -> None:
    result = look(release, release.bundle("boasting", figures={"accuracy": 0.99}))
    assert not result.passed
    assert "0.990000" in result.reason
    assert "0.950000" in result.reason


def test_red_expectations_are_refused(release: SmallRelease) -> None:
    lineage = {"raw_digest": "e" * 64, "validated_digest": release.validate(success=False).digest}
    result = look(release, release.bundle("red", facts={"lineage": lineage}))
    assert not result.passed
    assert "expectations" in result.reason


def test_changed_test_labels_are_refused(release: SmallRelease) -> None:
    candidate = release.bundle("good")
    flip(release.dataset / "prepared" / "test" / "labels.npy")
    result = look(release, candidate)
    assert not result.passed
    assert "labels.npy" in result.reason


def test_newer_data_is_said_and_not_held_against_it(release: SmallRelease) -> None:
    candidate = release.bundle("good")
    np.save(release.dataset / "prepared" / "test" / "labels.npy", np.zeros(SAMPLES, np.int64))
    release.prepare()
    release.validate(success=False)
    result = look(release, candidate)
    assert result.passed
    assert result.figures["data"] == "another version"
    assert "another version by now" in result.reason


def test_after_it_failed_nothing_else_is_asked(release: SmallRelease) -> None:
    candidate = release.bundle("boasting", figures={"accuracy": 0.99})
    results = stage.check(release.request(candidate, None, ("integrity", "floors", "champion"))).results
    assert [result.gate for result in results] == ["integrity"]


def test_the_sealed_package_is_the_one_that_is_scored(release: SmallRelease) -> None:
    candidate = release.bundle("good")
    assert Package.open(Path(candidate.bundle) / "src" / "package").digest == candidate.package_digest
