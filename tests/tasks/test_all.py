"""What holds for every task."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.tasks import MODULES, find, of_fields


@pytest.mark.parametrize("name", MODULES)
def test_a_task_is_what_its_name_says_and_fits_some_network(name: str) -> None:
    task = find(name)
    assert task.name == name
    assert issubclass(task.input_type, InputSpec)
    assert issubclass(task.output_type, OutputSpec)
    assert task.payload_field in {"", *task.fields}
    assert task.metrics
    assert set(task.fields.values()) <= {"text", "binary", "numbers", "json"}
    assert len(set(task.raw_columns)) == len(task.raw_columns)
    assert not {*task.raw_columns, *task.prepared_columns} & {"id", "split", "label", "row", "digest"}


@pytest.mark.parametrize("name", MODULES)
def test_its_starting_model_and_its_networks_of_families_fit_it(name: str) -> None:
    task, adapter = find(name), TypeAdapter(ModelSpec)
    models = [task.starting_model, *({"family": family, **model} for family, model in task.family_models.items())]
    for model in models:
        spec = adapter.validate_python(model)
        assert spec.supports_input(task.input_type.kind)
        assert spec.supports_output(task.output_type.kind)


def test_a_task_is_found_by_the_fields_that_it_reads() -> None:
    for name in set(MODULES) - {"image-generation"}:  # it reads the same fields as image classification
        assert of_fields(find(name).fields) == name
    assert of_fields(["image", "label", "time"]) == "image-classification"
    assert of_fields(["label"]) is None


@pytest.mark.parametrize("name", MODULES)
def test_its_objective_its_scorer_and_its_graph_builder_are_there(name: str) -> None:
    for place in (find(name).objective, find(name).scorer, find(name).output_type.graph_builder):
        module, _, attribute = place.partition(":")
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        tree = ast.parse(Path(found.origin).read_text())
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        values = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
                  if isinstance(target, ast.Name)}  # fmt: skip
        assert attribute in classes | values


@pytest.mark.slow
def test_importing_all_of_them_costs_nothing() -> None:
    code = (
        f"import importlib, sys\n[importlib.import_module(name) for name in {list(MODULES.values())!r}]\n"
        "print(sorted({'numpy', 'torch', 'PIL', 'tokenizers', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_answering_needs_no_training_library() -> None:
    """Every import inside a task's module and those of ours that it leads to, but for what only preparation calls."""
    code = (
        "import ast, importlib, json, sys\nfrom pathlib import Path\n"
        "seen, found = set(), {}\n"
        f"for name, task in {MODULES!r}.items():\n"
        "    waiting = [task]\n"
        "    while waiting:\n"
        "        module = importlib.import_module(waiting.pop())\n"
        "        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):\n"
        "            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('components.'):\n"
        "                for place in (node.module, *(f'{node.module}.{alias.name}' for alias in node.names)):\n"
        "                    try:\n                        importlib.import_module(place)\n"
        "                    except ModuleNotFoundError:\n                        continue\n"
        "                    if place not in seen:\n                        seen.add(place)\n"
        "                        waiting.append(place)\n"
        "    heavy = {'torch', 'pandas', 'pyarrow', 'scipy', 'transformers', 'sklearn'} & set(sys.modules)\n"
        "    found[name] = sorted(heavy)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: [] for name in MODULES}
