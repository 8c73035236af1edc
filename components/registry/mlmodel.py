"""Write a model package in MLflow's layout, for `mlflow models serve` and `mlflow.pyfunc.load_model`.

The files are written without MLflow, because `import mlflow` takes 6 to 9 seconds; a test loads the result with MLflow.
Layout: MLmodel, model.py (the same for every package), code/ (the modules that it imports), artifacts/package (the
sealed package), requirements.txt, input_example.json.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from components import tasks
from components.identity import user_source
from components.identity.package import Package
from components.inference import body, columns, postprocessing
from components.tasks.task import EndpointSchema

ENTRY = "components.registry.pyfunc_model"
PYTHON_VERSION = "3.11"
_PARAMETER_TYPES = {"integer": "long", "number": "double", "string": "string", "boolean": "boolean"}


def write(package: Package, target: Path, source_root: Path, requirements: str) -> None:
    """Write the layout into an empty folder.

    Args:
        source_root: folder that contains the package `components`.
        requirements: pinned requirements of the model, one on each line.
    """
    shutil.copytree(package.folder, target / "artifacts" / "package")
    entries = [
        "components.inference.body",
        "components.inference.columns",
        "components.inference.predictor",
        tasks.module(package.facts.task),
    ]
    user_source.copy(entries, source_root, target / "code")
    shutil.copy(source_root.joinpath(*ENTRY.split(".")).with_suffix(".py"), target / "model.py")
    (target / "requirements.txt").write_text(requirements)
    environment = {"python": PYTHON_VERSION, "dependencies": ["-r requirements.txt"]}
    (target / "python_env.yaml").write_text(yaml.safe_dump(environment))
    processor, classes = tasks.find(package.facts.task).load(package.folder), package.signature().classes
    endpoint = postprocessing.endpoint(package.facts, processor.endpoint(classes))
    example = package.golden()[0]
    value = body.value(endpoint, (package.folder / "golden" / example.file).read_bytes(), example.media)
    split = _split(endpoint, value)
    (target / "input_example.json").write_text(json.dumps(split))
    (target / "serving_input_example.json").write_text(json.dumps({"dataframe_split": split}))
    (target / "MLmodel").write_text(yaml.safe_dump(_mlmodel(package, endpoint, classes), sort_keys=True))


def _split(endpoint: EndpointSchema, value: Any) -> dict[str, Any]:
    """A sample as a data frame: columns and one row."""
    names = [column.name for column in columns.inputs(endpoint)]
    if names == [endpoint.item]:
        return {"columns": names, "data": [[value if isinstance(value, str) else json.dumps(value)]]}
    present = [name for name in names if name in value]
    return {"columns": present, "data": [[value[name] for name in present]]}


def _inputs(endpoint: EndpointSchema) -> list[dict[str, Any]]:
    return [
        {"type": column.type, "name": column.name, "required": column.required} for column in columns.inputs(endpoint)
    ]


def _outputs(endpoint: EndpointSchema, classes: list[str]) -> list[dict[str, Any]]:
    """Columns of the predictions: label and probability of each class for a classifier, else one of JSON text."""
    if not columns.has_classes(endpoint):
        return [{"type": "string", "name": columns.PREDICTION, "required": True}]
    label = {"type": "string", "name": "label", "required": True}
    further = ({"type": kind, "name": name, "required": True} for name, kind in columns.further(endpoint).items())
    return [label, *({"type": "double", "name": name, "required": True} for name in classes), *further]


def _parameters(endpoint: EndpointSchema) -> list[dict[str, Any]]:
    """The task's parameters of a request with their defaults, in MLflow's types."""
    if endpoint.parameters is None:
        return []
    found = []
    for name, schema in endpoint.parameters.model_json_schema()["properties"].items():
        is_list = schema.get("type") == "array"
        kind = (schema["items"] if is_list else schema).get("type")
        if kind in _PARAMETER_TYPES and "default" in schema:
            shape = {"shape": [-1]} if is_list else {"shape": None}
            found.append({"name": name, "type": _PARAMETER_TYPES[kind], "default": schema["default"], **shape})
    return found


def _mlmodel(package: Package, endpoint: EndpointSchema, classes: list[str]) -> dict[str, Any]:
    parameters = _parameters(endpoint)
    return {
        "flavors": {
            "python_function": {
                "artifacts": {"package": {"path": "artifacts/package", "uri": "artifacts/package"}},
                "code": "code",
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pyfunc.loaders.code_model",
                "model_code_path": "model.py",
                "python_version": PYTHON_VERSION,
                "streamable": False,
            }
        },
        "metadata": {"package_digest": package.digest, "train_fingerprint": package.facts.train_fingerprint},
        "mlflow_version": importlib.metadata.version("mlflow"),
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
        },
        "signature": {
            "inputs": json.dumps(_inputs(endpoint)),
            "outputs": json.dumps(_outputs(endpoint, classes)),
            "params": json.dumps(parameters) if parameters else None,
        },
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
