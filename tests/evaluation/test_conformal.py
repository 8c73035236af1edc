"""Split conformal prediction against MAPIE, and its coverage on samples that are like the calibration's."""

from __future__ import annotations

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from components.contracts.decision_spec import ConformalSpec
from components.core.errors import UsageError
from components.evaluation import conformal
from components.evaluation.validation_outputs import ValidationOutputs
from components.identity.answer_facts import ConformalFacts
from components.identity.package import PackageFacts
from components.inference import postprocessing
from components.tasks import conformal_check

CLASSES = 5


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A classifier whose probabilities are its input."""

    classes_ = np.arange(CLASSES)

    def fit(self, x: np.ndarray, y: np.ndarray) -> Given:
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x.argmax(axis=1))

    def __sklearn_is_fitted__(self) -> bool:
        return True


class GivenNumber(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """A regressor whose prediction is its input."""

    n_features_in_ = 1

    def fit(self, x: np.ndarray, y: np.ndarray) -> GivenNumber:
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x[:, 0])

    def __sklearn_is_fitted__(self) -> bool:
        return True


def classes(count: int, seed: int) -> ValidationOutputs:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, CLASSES)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (logits / 1.5 + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return ValidationOutputs("classes", probabilities, truth)


def sets(facts: ConformalFacts, outputs: ValidationOutputs) -> np.ndarray:
    """Whether each class is in the set, bool (N, K)."""
    names = [str(number) for number in range(CLASSES)]
    rows = (postprocessing.prediction_set(facts, dict(zip(names, row, strict=True))) for row in outputs.values.tolist())
    return np.array([[name in row for name in names] for row in rows])


def test_sets_are_those_of_mapie() -> None:
    """Of `lac`; MAPIE draws the last class of `aps` at random."""
    calibration, test = classes(400, 0), classes(500, 1)
    facts = conformal.fit(ConformalSpec(coverage=0.9), calibration)
    reference = SplitConformalClassifier(Given(), confidence_level=0.9, conformity_score="lac", prefit=True)
    reference.conformalize(calibration.values, calibration.truth)
    _, expected = reference.predict_set(test.values)
    own, expected = sets(facts, test), np.asarray(expected)[:, :, 0]
    likeliest = np.eye(CLASSES, dtype=bool)[test.values.argmax(axis=1)]  # MAPIE's sets may be empty, ours are not
    np.testing.assert_array_equal(own, expected | likeliest)


def test_the_interval_is_mapies() -> None:
    rng = np.random.default_rng(0)
    values, test = rng.normal(size=300), rng.normal(size=50)
    truth = values + rng.normal(size=300) * 0.5
    facts = conformal.fit(ConformalSpec(coverage=0.8), ValidationOutputs("value", values, truth))
    reference = SplitConformalRegressor(GivenNumber(), confidence_level=0.8, prefit=True)
    reference.conformalize(values[:, None], truth)
    _, expected = reference.predict_interval(test[:, None])
    package = facts_of(facts)
    own = [postprocessing.answer(package, {"value": value})["interval"] for value in test.tolist()]
    np.testing.assert_allclose([[one["lower"], one["upper"]] for one in own], expected[:, :, 0])
    assert own[0]["coverage"] == 0.8


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_other_samples_are_covered_as_stated(method: str, coverage: float) -> None:
    spec = ConformalSpec(coverage=coverage, method=method)  # type: ignore[arg-type]
    facts = conformal.measured(conformal.fit(spec, classes(1000, 2)), classes(2000, 3))
    assert facts.test_coverage is not None
    assert coverage - 0.03 < facts.test_coverage < (coverage + 0.03 if method == "lac" else 1)
    assert facts.test_size is not None
    assert 1 <= facts.test_size < CLASSES


def test_quantiles_of_a_forecast_are_widened_by_step_and_channel() -> None:
    rng = np.random.default_rng(4)

    def forecasts(count: int) -> ValidationOutputs:
        truth = rng.normal(size=(count, 3, 2)) * np.array([[1, 5], [2, 10], [3, 15]])
        limits = np.broadcast_to(np.array([-0.5, 0.5]), (count, 3, 2, 2))
        return ValidationOutputs("forecast", limits, truth)

    facts = conformal.fit(ConformalSpec(coverage=0.9), forecasts(2000))
    widths = np.array(facts.quantiles)
    np.testing.assert_allclose(widths + 0.5, 1.645 * np.array([[1, 5], [2, 10], [3, 15]]), rtol=0.1)
    facts = conformal.measured(facts, forecasts(2000))
    assert facts.test_coverage == pytest.approx(0.9, abs=0.02)
    prediction = {"values": [[0.0, 0.0]] * 3, "quantiles": {"0.1": [[-0.5] * 2] * 3, "0.9": [[0.5] * 2] * 3}}
    interval = postprocessing.answer(facts_of(facts), prediction)["interval"]
    np.testing.assert_allclose(interval["upper"], 0.5 + widths)
    np.testing.assert_allclose(interval["lower"], -0.5 - widths)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="conformal") as refused:
        conformal.fit(ConformalSpec(coverage=0.99), classes(50, 0))
    assert "at least 99" in str(refused.value.expected)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_the_smallest_split_is_the_one_that_the_error_names(coverage: float) -> None:
    spec = ConformalSpec(coverage=coverage)
    least = round(coverage / (1 - coverage))
    conformal_check.check(spec, least)
    with pytest.raises(UsageError) as refused:
        conformal_check.check(spec, least - 1)
    assert refused.value.expected == f"at least {least:,}"


def facts_of(found: ConformalFacts) -> PackageFacts:
    ids = {"pipeline": "p", "task": "t", "train_fingerprint": "a" * 64, "data_digest": "d" * 64}
    return PackageFacts.model_validate({**ids, "lineage": {}, "conformal": found.model_dump()})
