"""The code of a registered model, as MLflow runs it: a column of samples in, a column of answers out.

MLflow executes this file when it loads a registered version; it comes from Modelyard, not from the package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor


class PackagedModel(PythonModel):  # type: ignore[misc]  # mypy does not read mlflow (pyproject.toml)
    """A package behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Open the package, proving its bytes."""
        self.predictor = Predictor(Package.open(Path(context.artifacts["package"])))

    def predict(self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One column of text: base64 of a file, a text, or JSON, as the task takes it.

        Returns:
            For a classifier a column `label` and one column of probability a class; else a column `prediction` of JSON.
        """
        wire = self.predictor.endpoint
        plain = wire.schema.get("type") == "string"
        values = [text if plain else _parsed(text) for text in model_input[wire.item]]
        asked = body.of_json(self.predictor.processor, wire, json.dumps({wire.items: values}).encode())
        predictions = self.predictor.predict(asked.items)
        if "probabilities" in wire.prediction.get("properties", {}):
            rows = [{"label": prediction["label"], **prediction["probabilities"]} for prediction in predictions]
        else:
            rows = [{"prediction": json.dumps(prediction, ensure_ascii=False)} for prediction in predictions]
        return pandas.DataFrame(rows)


def _parsed(text: str) -> Any:
    """A list or an object in JSON; what is none stays text (a task may take CSV, or a text beside a list of words)."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, list | dict) else text


set_model(PackagedModel())
