"""The code of a registered model, as MLflow runs it: base64 images in, label and probabilities out.

MLflow executes this file when it loads a registered version; it comes from Modelyard, not from the package.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from components.contracts.package import Package
from components.inference.predictor import Predictor


class PackagedModel(PythonModel):
    """A package behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Open the package, proving its bytes."""
        self.predictor = Predictor(Package.open(Path(context.artifacts["package"])))

    def predict(self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """A column `image` of base64 text to a column `label` and one column of probability a class."""
        contents = [base64.b64decode(text, validate=True) for text in model_input["image"]]
        predictions = self.predictor.predict(contents)
        rows = [{"label": prediction.label, **prediction.probabilities} for prediction in predictions]
        return pandas.DataFrame(rows)


set_model(PackagedModel())
