"""The code of a registered model, as MLflow runs it: samples in one column in, predictions out.

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
        """Open the package and verify its digests."""
        self.predictor = Predictor(Package.open(Path(context.artifacts["package"])))

    def predict(self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predict one column of text: base64 of a file, a text, or JSON, depending on the task.

        Returns:
            For a classifier, a column `label` and a column with the probability of each class; else a column
            `prediction` of JSON.
        """
        endpoint = self.predictor.endpoint
        is_text = endpoint.schema.get("type") == "string"
        values = [text if is_text else _parse_json(text) for text in model_input[endpoint.item]]
        request = body.of_json(self.predictor.processor, endpoint, json.dumps({endpoint.items: values}).encode())
        predictions = self.predictor.predict(request.items)
        if "probabilities" in endpoint.prediction.get("properties", {}):
            rows = [{"label": prediction["label"], **prediction["probabilities"]} for prediction in predictions]
        else:
            rows = [{"prediction": json.dumps(prediction, ensure_ascii=False)} for prediction in predictions]
        return pandas.DataFrame(rows)


def _parse_json(text: str) -> Any:
    """Parse a JSON list or object; any other text is returned as it is (a task may take CSV or plain text)."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, list | dict) else text


set_model(PackagedModel())
