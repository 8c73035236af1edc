"""No room but components/tasks names a task: neither by its name nor by its module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.contracts import shapes
from components.tasks import MODULES

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "components" / "tasks"


def naming(source: str) -> Iterator[str]:
    """What names a task in a module: text that is a task's name, or an import of a task's module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in {*MODULES, *MODULES.values()}:
            yield f"line {node.lineno}: {node.value!r}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for place in (module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)):
                if place in MODULES.values():
                    yield f"line {node.lineno}: import of {place}"


def test_no_other_room_names_a_task() -> None:
    files = [path for room in ("components", "flows", "serving") for path in (ROOT / room).rglob("*.py")]
    others = [path for path in files if OWN not in path.parents]
    assert len(others) > 200
    found = [f"{path.relative_to(ROOT)}, {what}" for path in others for what in naming(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'if task == "forecasting": ...',
        'DEFAULTS = {"text-classification": 1}',
        "from components.tasks import translation",
        "from components.tasks.translation import TASK",
        "import components.tasks.translation",
        'PLACE = "components.tasks.translation"',
    ],
)
def test_a_task_that_is_named_is_found(line: str) -> None:
    assert list(naming(line))


def test_only_the_graph_builders_of_an_output_know_its_kind() -> None:
    """Training switches over no kind of output: each kind names its graph builder."""
    kinds = [one for one in vars(shapes).values() if isinstance(one, type) and issubclass(one, shapes.OutputSpec)]
    names = {kind.__name__ for kind in kinds if kind is not shapes.OutputSpec}
    for path in (ROOT / "components" / "training").rglob("*.py"):
        used = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)} & names
        assert len(used) <= 1, f"{path.relative_to(ROOT)} switches over {sorted(used)}"
