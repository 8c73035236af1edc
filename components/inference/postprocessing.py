"""The last step from a task's prediction to the answer: the package's decision, and its conformal set or interval.

A function of the prediction alone, in plain Python: the evaluation applies it to the golden answers of the training
process, and the service to its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.identity.answer_facts import ConformalFacts, DecisionFacts
from components.identity.package import PackageFacts
from components.tasks.task import EndpointSchema, Prediction

SET, INTERVAL, REJECTED = "set", "interval", "rejected"


def answer(facts: PackageFacts, prediction: Prediction) -> Prediction:
    """The answer for a prediction of the task."""
    found = prediction if facts.decision is None else decided(facts.decision, prediction)
    return found if facts.conformal is None else _covering(facts.conformal, found)


def decided(facts: DecisionFacts, prediction: Prediction) -> Prediction:
    """The prediction with the class or the labels of the thresholds, and whether it is rejected."""
    found = dict(prediction)
    if "scores" in found:
        found["labels"] = [name for name, score in found["scores"].items() if score >= facts.thresholds[name]]
        return found
    probabilities: Mapping[str, float] = found["probabilities"]
    for positive, threshold in facts.thresholds.items():
        (other,) = [name for name in probabilities if name != positive]
        found["label"] = positive if probabilities[positive] >= threshold else other
    if facts.reject_below is not None:
        found[REJECTED] = max(probabilities.values()) < facts.reject_below
    return found


def prediction_set(facts: ConformalFacts, probabilities: Mapping[str, float]) -> list[str]:
    """The classes whose score is at most the quantile, the likeliest first; at least the likeliest."""
    limit, found, before = facts.quantiles[0][0], list[str](), 0.0
    for name, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        before += probability
        score = before if facts.method == "aps" else 1 - probability
        if found and score > limit:
            break
        found.append(name)
    return found


def endpoint(facts: PackageFacts, wire: EndpointSchema) -> EndpointSchema:
    """The endpoint's schema with the further fields of the answer."""
    fields: dict[str, Any] = {}
    properties: Mapping[str, Any] = wire.prediction.get("properties", {})
    if facts.decision is not None and facts.decision.reject_below is not None:
        fields[REJECTED] = {"type": "boolean"}
    if facts.conformal is not None:
        if "label" in properties:
            fields[SET] = {"type": "array", "items": properties["label"], "minItems": 1, "uniqueItems": True}
        else:
            value = properties["value"] if "value" in properties else properties["values"]
            limits = {"coverage": {"type": "number"}, "lower": value, "upper": value}
            fields[INTERVAL] = {
                "type": "object",
                "properties": limits,
                "required": list(limits),
                "additionalProperties": False,
            }
    if not fields:
        return wire
    required = [*wire.prediction.get("required", ()), *fields]
    return wire._replace(prediction={**wire.prediction, "properties": {**properties, **fields}, "required": required})


def _covering(facts: ConformalFacts, prediction: Prediction) -> Prediction:
    if "probabilities" in prediction:
        return {**prediction, SET: prediction_set(facts, prediction["probabilities"])}
    lower: Any
    upper: Any
    if "quantiles" in prediction:
        levels = sorted(prediction["quantiles"], key=float)
        lower = _moved(prediction["quantiles"][levels[0]], facts.quantiles, -1)
        upper = _moved(prediction["quantiles"][levels[-1]], facts.quantiles, 1)
    else:
        (((width,),),) = (facts.quantiles,)
        lower, upper = prediction["value"] - width, prediction["value"] + width
    return {**prediction, INTERVAL: {"coverage": facts.coverage, "lower": lower, "upper": upper}}


def _moved(rows: Sequence[Sequence[float]], widths: Sequence[Sequence[float]], sign: int) -> list[list[float]]:
    pairs = zip(rows, widths, strict=True)
    return [[value + sign * width for value, width in zip(row, own, strict=True)] for row, own in pairs]
