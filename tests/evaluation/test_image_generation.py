"""Generated images that are known: real ones of the class asked for, real ones of another, none that are finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from components.contracts.array_spec import ArraySpec
from components.core.errors import NotFiniteError
from components.evaluation.image_generation import MAX_IMAGES, SCORER
from components.evaluation.scorer import Arrays, expected_samples
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.noise_schedule import alphas_cumprod
from tests.evaluation.stub_package import Answers, frozen, quiet, stored

CLASSES = [str(digit) for digit in range(10)]
SPECS = [ArraySpec(name="images", type="uint8", shape=(8, 8, 1)), ArraySpec(name="labels", type="int64", shape=())]
STEPS = 100


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> FrozenSplit:
    """Real digits: 1,000 to fit the judge on, the rest to score."""
    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    images = (found.images * (255 / 16)).astype(np.uint8)[..., None]
    samples = [{"images": image, "labels": label} for image, label in zip(images, found.target, strict=True)]
    stored(folder / "train", SPECS, samples[:1000])
    return frozen(folder, SPECS, samples[1000:], CLASSES)


def real(digits: FrozenSplit, shift: int = 0) -> Any:
    """Draws real train images: of the class asked for, or the one `shift` further."""
    train = digits.other("train")

    def generate(_: object, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        pools = [np.flatnonzero(train.all("labels") == label) for label in range(10)]
        rows = [pools[(label + shift) % 10][seed % len(pools[0])] for label, seed in zip(labels, seeds, strict=True)]
        return np.asarray(train.all("images")[rows])

    return generate


def asked(digits: FrozenSplit, outputs: Any = None, classes: list[str] = CLASSES, **processor: Any) -> Answers:
    zeros = outputs or (lambda feed: {"noise": np.zeros_like(feed["noisy"])})
    facts = {"generate": real(digits), "noise_schedule": "cosine", "noise_steps": STEPS, **processor}
    return Answers(zeros, classes, **facts)


@pytest.mark.slow
def test_real_images_of_the_class_asked_for_are_seen_as_such(digits: FrozenSplit, tmp_path: Path) -> None:
    scored = SCORER.score(asked(digits), digits, quiet)
    assert scored.samples == MAX_IMAGES == expected_samples(SCORER, digits)
    assert scored.figures()["label_accuracy"] > 0.97
    assert scored.document()["judge"]["accuracy_on_real_images"] > 0.88
    assert [part.name for part in scored.slices()] == CLASSES
    scored.draw(tmp_path / "plots")
    assert (tmp_path / "plots" / "samples.png").stat().st_size > 3000
    assert "The judge" in scored.card_lines().limits[0]


def test_real_images_of_another_class_are_not(digits: FrozenSplit) -> None:
    scored = SCORER.score(asked(digits, generate=real(digits, shift=1)), digits, quiet)
    assert scored.figures()["label_accuracy"] < 0.03


def test_classes_meet_by_name(digits: FrozenSplit) -> None:
    train = real(digits)

    def generate(run: object, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return np.asarray(train(run, 9 - labels, seeds))

    scored = SCORER.score(asked(digits, classes=CLASSES[::-1], generate=generate), digits, quiet)
    assert scored.figures()["label_accuracy"] > 0.97


def test_who_tells_no_noise_errs_by_its_variance_and_who_tells_all_of_it_by_nothing(digits: FrozenSplit) -> None:
    silent = SCORER.score(asked(digits), digits, quiet).figures()["noise_mse"]
    assert silent == pytest.approx(1, abs=0.02)
    kept = alphas_cumprod("cosine", STEPS)
    chosen = np.unique(np.linspace(0, len(digits) - 1, MAX_IMAGES).round().astype(np.int64))
    clean = digits.split.batch(chosen)["images"].transpose(0, 3, 1, 2) / 127.5 - 1
    begun: dict[int, int] = {}

    def knowing(feed: Arrays) -> Arrays:
        at = int(feed["step"][0])
        begin = begun.get(at, 0)
        begun[at] = begin + len(feed["noisy"])
        own = clean[begin : begun[at]]
        return {"noise": ((feed["noisy"] - np.sqrt(kept[at]) * own) / np.sqrt(1 - kept[at])).astype(np.float32)}

    told = SCORER.score(asked(digits, knowing), digits, quiet)
    assert told.figures()["noise_mse"] == pytest.approx(0, abs=1e-6)
    assert [row["share_of_steps"] for row in told.document()["per_noise"]] == [0.1, 0.35, 0.6, 0.85]


def test_what_is_not_finite_is_wrong_and_counted(digits: FrozenSplit) -> None:
    def generate(_: object, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        raise NotFiniteError("not finite")

    scored = SCORER.score(asked(digits, generate=generate), digits, quiet)
    assert scored.not_finite == MAX_IMAGES
    assert scored.figures()["label_accuracy"] == 0


def test_specks_that_nobody_sees_change_no_verdict(digits: FrozenSplit) -> None:
    generate = real(digits)

    def speckled(run: Any, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        images = generate(run, labels, seeds)
        return np.maximum(images, np.random.default_rng(0).integers(0, 12, images.shape, np.uint8))

    scored = SCORER.score(asked(digits, generate=speckled), digits, quiet)
    assert scored.figures()["label_accuracy"] > 0.97
