"""The code of a registered model, as MLflow runs it: rows in, predictions out.

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
from components.inference import body, columns
from components.inference.predictor import Predictor


class PackagedModel(PythonModel):  # type: ignore[misc]  # mypy does not read mlflow (pyproject.toml)
    """A package behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Open the package and verify its digests."""
        self.predictor = Predictor(Package.open(Path(context.artifacts["package"])))

    def predict(self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predict rows of the columns of `components.inference.columns`.

        Args:
            params: the task's parameters of a request.

        Returns:
            For a classifier, a column `label` and a column with the probability of each class; else a column
            `prediction` of JSON.
        """
        endpoint, processor = self.predictor.endpoint, self.predictor.processor
        values = columns.values(endpoint, model_input.astype(object).to_dict("records"))
        document = {endpoint.items: values, **({body.PARAMETERS: params} if params else {})}
        request = body.of_json(processor, endpoint, json.dumps(document, default=_plain).encode())
        return pandas.DataFrame(columns.answers(endpoint, self.predictor.predict(*request)))


def _plain(value: Any) -> Any:
    """A numpy value as JSON has it: MLflow makes arrays and numpy's numbers of parameters."""
    return value.tolist()


set_model(PackagedModel())
