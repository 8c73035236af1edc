"""What holds for every task."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from components.contracts.shapes import Input, Output
from components.tasks import MODULES, find

KINDS = [{kind.model_fields["kind"].default for kind in get_args(get_args(union)[0])} for union in (Input, Output)]


@pytest.mark.parametrize("name", MODULES)
def test_a_task_is_what_its_name_says_and_fits_some_network(name: str) -> None:
    task = find(name)
    assert task.name == name
    assert task.input_kind in KINDS[0]
    assert task.output_kind in KINDS[1]
    assert task.payload_field in {"", *task.fields}
    assert task.metrics
    assert set(task.fields.values()) <= {"text", "binary", "numbers", "json"}
    assert len(set(task.raw_columns)) == len(task.raw_columns)
    assert not {*task.raw_columns, *task.prepared_columns} & {"id", "split", "label", "row", "digest"}


@pytest.mark.parametrize("name", MODULES)
def test_its_objective_and_its_scorer_are_there(name: str) -> None:
    for place in (find(name).objective, find(name).scorer):
        module, _, attribute = place.partition(":")
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        tree = ast.parse(Path(found.origin).read_text())
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        values = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
                  if isinstance(target, ast.Name)}  # fmt: skip
        assert attribute in classes | values


def test_importing_all_of_them_costs_nothing() -> None:
    code = (
        f"import importlib, sys\n[importlib.import_module(name) for name in {list(MODULES.values())!r}]\n"
        "print(sorted({'numpy', 'torch', 'PIL', 'tokenizers', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODULES)
def test_answering_needs_no_training_library(name: str) -> None:
    """Every import inside the task's module and those of ours that it leads to, but for what only preparation calls."""
    code = (
        f"import ast, importlib, sys\nfrom pathlib import Path\nimport {MODULES[name]} as task\n"
        "seen, waiting = set(), [task.__name__]\n"
        "while waiting:\n"
        "    module = importlib.import_module(waiting.pop())\n"
        "    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):\n"
        "        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('components.'):\n"
        "            for place in (node.module, *(f'{node.module}.{alias.name}' for alias in node.names)):\n"
        "                try:\n                    importlib.import_module(place)\n"
        "                except ModuleNotFoundError:\n                    continue\n"
        "                if place not in seen:\n                    seen.add(place)\n"
        "                    waiting.append(place)\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'scipy', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
