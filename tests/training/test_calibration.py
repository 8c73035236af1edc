"""Temperature scaling after the training, against scikit-learn, and on logits whose temperature is known."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from torch import nn

from components.identity import manifest
from components.training import calibration, stage
from components.training.graphs.classification import Probabilities
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request


def drawn(count: int, classes: int, temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and classes drawn with the probabilities of the logits divided by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)) * 3
    gumbel = rng.gumbel(size=logits.shape)
    return torch.from_numpy(logits), torch.from_numpy((logits / temperature + gumbel).argmax(axis=1))


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_finds_the_temperature_that_the_classes_were_drawn_with(temperature: float) -> None:
    logits, truth = drawn(4000, 5, temperature)
    assert calibration.fit(logits, truth) == pytest.approx(temperature, rel=0.08)
    facts = calibration.judge(logits, truth)
    assert facts.kept
    assert facts.ece_after is not None
    assert facts.ece_before is not None
    assert facts.ece_after < 0.02 < facts.ece_before


def test_a_temperature_that_helps_one_time_and_harms_another_is_not_kept() -> None:
    """Of later samples nothing is known; drawn folds would have kept it."""
    first, last = drawn(1200, 5, 0.5), drawn(800, 5, 0.95, seed=1)
    logits, truth = torch.cat([first[0], last[0]]), torch.cat([first[1], last[1]])
    facts = calibration.judge(logits, truth)
    assert not facts.kept
    assert "consecutive parts" in facts.reason
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(len(truth)))
    assert calibration.judge(logits[shuffled], truth[shuffled]).kept


def test_is_the_temperature_of_scikit_learn() -> None:
    """scikit-learn fits without the one wrong sample, which weighs little among 4,000."""
    logits, truth = drawn(4000, 4, 2.0)

    class Estimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
        classes_ = np.arange(4)

        def fit(self, x: np.ndarray, y: np.ndarray) -> Estimator:
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x.argmax(axis=1))

    reference = CalibratedClassifierCV(FrozenEstimator(Estimator()), method="temperature", ensemble=False)
    reference.fit(logits.numpy(), truth.numpy())
    expected = reference.predict_proba(logits.numpy())
    own = (logits / calibration.fit(logits, truth)).softmax(dim=1).numpy()
    np.testing.assert_allclose(own, expected, atol=0.01)


def test_a_calibrated_network_stays_as_it_is() -> None:
    logits, truth = drawn(300, 3, 1.0, seed=3)
    facts = calibration.judge(logits, truth)
    assert not facts.kept
    assert facts.temperature == 1.0
    assert "not better" in facts.reason


def test_a_split_without_an_error_gives_no_certainty() -> None:
    """Without a prior the temperature would be 0: here the probability of the answer stays below 1."""
    truth = torch.arange(60) % 3
    logits = torch.nn.functional.one_hot(truth, 3).double() * 2
    temperature = calibration.fit(logits, truth)
    confidence = float((logits / temperature).softmax(dim=1).max())
    assert confidence == pytest.approx(1 - 1 / 62, abs=1e-4)


def test_one_temperature_for_all_labels() -> None:
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(size=(2000, 3)) * 3)
    truth = torch.from_numpy(rng.random((2000, 3))) < (logits / 2).sigmoid()
    assert calibration.fit(logits, truth) == pytest.approx(2, rel=0.08)
    facts = calibration.judge(logits, truth)
    assert facts.kept
    assert facts.samples == 6000


def test_the_layer_divides_and_leaves_the_answers() -> None:
    module = Probabilities(nn.Identity())
    logits = torch.randn(20, 4)
    plain = module(logits)
    module.activation.temperature = 2.0
    torch.testing.assert_close(module(logits), (logits / 2).softmax(dim=1))
    assert (module(logits).argmax(dim=1) == plain.argmax(dim=1)).all()


@pytest.mark.slow
def test_training_calibrates_unless_it_is_told_not_to(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared", 320, 120, 40)
    found = {}
    for choice in ("auto", "none"):
        run = tmp_path / choice
        stage.train(request(tmp_path / "prepared", run, calibrate=choice), EventStream(io.StringIO()))
        trained = manifest.verify(run / "trained", "trained")
        found[choice] = trained.facts.get("calibration"), (run / "trained" / "model.safetensors").read_bytes()
    assert found["auto"][0]["kept"]
    assert found["none"][0] is None
    assert (
        found["auto"][1] == found["none"][1]
    )  # the weights are the network's own: transfer and resume go on from them
