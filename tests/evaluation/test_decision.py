"""Thresholds that are chosen on validation, against a search through scikit-learn's figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from components.contracts.decision_spec import DecisionSpec
from components.contracts.pipeline import PipelineSpec
from components.core.errors import UsageError
from components.evaluation import decision
from components.evaluation.classification import ClassificationScores
from components.evaluation.validation_outputs import ValidationOutputs
from components.identity.answer_facts import DecisionFacts
from components.identity.package import PackageFacts
from components.inference import columns, postprocessing
from components.tasks import classification, compatibility, decision_check
from components.tasks.tabular_classification import TASK as TABLES
from components.tasks.task import EndpointSchema
from components.tasks.text_generation import TASK as TEXTS

CLASSES = ["ham", "spam"]
REFERENCES = {"f1": f1_score, "accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}


def two(count: int = 300) -> ValidationOutputs:
    """One class is rare, and its probability is too low throughout."""
    rng = np.random.default_rng(0)
    truth = (rng.random(count) < 0.15).astype(np.int64)
    spam = 1 / (1 + np.exp(-(rng.normal(size=count) + 2.0 * truth - 2.5)))
    return ValidationOutputs("classes", np.stack([1 - spam, spam], axis=1), truth)


@pytest.mark.slow
@pytest.mark.parametrize("figure", list(REFERENCES))
def test_is_the_best_of_all_thresholds(figure: str) -> None:
    outputs = two()
    facts = decision.choose(DecisionSpec(threshold="auto", optimise=figure), outputs, CLASSES, "classes")  # type: ignore[arg-type]
    scores, reference = outputs.values[:, 1], REFERENCES[figure]
    found = {level: reference(outputs.truth, scores >= level) for level in [*np.unique(scores), 0.5]}
    assert facts.figure == pytest.approx(max(found.values()), abs=1e-6)
    assert facts.default_figure == pytest.approx(found[0.5], abs=1e-6)
    assert reference(outputs.truth, scores >= facts.thresholds["spam"]) == pytest.approx(facts.figure, abs=1e-6)


def test_the_answer_and_the_scores_are_decided_alike() -> None:
    outputs = two()
    facts = decision.choose(DecisionSpec(threshold="auto", reject_below=0.7), outputs, CLASSES, "classes")
    rows = [dict(zip(CLASSES, row, strict=True)) for row in outputs.values.tolist()]
    answers = [postprocessing.decided(facts, {"label": "?", "probabilities": row}) for row in rows]
    from components.evaluation.classification import _decided

    numbers = _decided(outputs.values.astype(np.float64), facts, CLASSES)
    assert [one["label"] for one in answers] == [CLASSES[number] for number in numbers]
    assert (numbers != outputs.values.argmax(axis=1)).any()
    padded = np.concatenate([outputs.values, np.zeros((300, 1))], axis=1).astype(np.float32)
    scored = ClassificationScores(padded, outputs.truth, numbers, CLASSES, reject_below=0.7)
    table = scored.rejection()
    assert table is not None
    assert table["rejected"] == pytest.approx(np.mean([one["rejected"] for one in answers]))
    assert table["accuracy_of_accepted"] > scored.figures()["accuracy"]


def test_labels_have_a_threshold_each() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((400, 2)) < [0.1, 0.5]
    scores = 1 / (1 + np.exp(-(rng.normal(size=(400, 2)) + 3 * truth - [3.5, 1.5])))
    outputs = ValidationOutputs("labels", scores, truth)
    facts = decision.choose(DecisionSpec(threshold="auto"), outputs, ["a", "b"], "labels")
    assert facts.figure is not None
    assert facts.default_figure is not None
    assert facts.figure > facts.default_figure + 0.05
    expected = np.mean([f1_score(truth[:, n], scores[:, n] >= facts.thresholds["ab"[n]]) for n in range(2)])
    assert facts.figure == pytest.approx(expected, abs=1e-6)
    stated = decision.choose(DecisionSpec(threshold={"b": 0.0}), outputs, ["a", "b"], "labels")
    assert stated.thresholds == {"a": 0.5, "b": 0.0}
    answer = postprocessing.decided(stated, {"labels": [], "scores": {"a": 0.4, "b": 0.1}})
    assert answer["labels"] == ["b"]


@pytest.mark.parametrize(
    ("spec", "kind", "classes"),
    [
        ({"threshold": "auto"}, "classes", ["a", "b", "c"]),
        ({"threshold": {"z": 0.5}}, "classes", ["a", "b"]),
        ({"threshold": 0.3, "positive": "z"}, "classes", ["a", "b"]),
        ({"threshold": {"a": 0.5, "b": 0.5}}, "classes", ["a", "b"]),
        ({"threshold": 0.5, "reject_below": 0.6}, "labels", ["a", "b"]),
    ],
)
def test_what_does_not_fit_the_classes_is_refused(spec: dict[str, Any], kind: str, classes: list[str]) -> None:
    with pytest.raises(UsageError, match="decision does not fit"):
        decision_check.check(DecisionSpec.model_validate(spec), kind, classes)


def test_what_does_not_fit_the_task_is_refused() -> None:
    with pytest.raises(ValidationError, match="set threshold or reject_below"):
        DecisionSpec()
    model = {"family": "mlp", "name": "mlp"}
    options = {"decision": {"threshold": "auto"}, "serving": {"conformal": {"coverage": 0.9}}}
    pipeline = {"name": "p", "dataset": "d", "model": model, "task": "text-generation", **options}
    spec = PipelineSpec.model_validate(pipeline)
    assert {"decision", "serving.conformal"} <= {problem.path for problem in compatibility.problems(spec, TEXTS)}
    assert compatibility.problems(spec, TABLES) == []
    wrong = PipelineSpec.model_validate({**pipeline, "serving": {"conformal": {"coverage": 0.9, "method": "cqr"}}})
    assert [problem.path for problem in compatibility.problems(wrong, TABLES)] == ["serving.conformal.method"]


def test_only_thresholds_are_facts() -> None:
    facts = decision.choose(DecisionSpec(threshold=0.2, positive="ham"), two(), CLASSES, "classes")
    assert facts == DecisionFacts(thresholds={"ham": 0.2})


def test_tables_of_predictions_have_the_further_fields() -> None:
    facts = decision.choose(DecisionSpec(threshold="auto", reject_below=0.9), two(), CLASSES, "classes")
    ids = {"pipeline": "p", "task": "t", "train_fingerprint": "a" * 64, "data_digest": "d" * 64, "lineage": {}}
    conformal = {"method": "lac", "coverage": 0.9, "quantiles": [[0.8]], "samples": 100}
    package = PackageFacts.model_validate({**ids, "decision": facts.model_dump(), "conformal": conformal})
    wire = EndpointSchema("row", "rows", (), {}, classification.schema(CLASSES), "json", "")
    endpoint = postprocessing.endpoint(package, wire)
    answer = postprocessing.answer(package, {"label": "ham", "probabilities": {"ham": 0.7, "spam": 0.3}})
    assert answer["set"] == ["ham", "spam"]
    (row,) = columns.answers(endpoint, [answer])
    expected = {"label": answer["label"], "ham": 0.7, "spam": 0.3}
    assert row == {**expected, "prediction_set": '["ham", "spam"]', "prediction_rejected": True}
    assert columns.further(endpoint) == {"prediction_set": "string", "prediction_rejected": "boolean"}
    assert columns.further(wire) == {}
