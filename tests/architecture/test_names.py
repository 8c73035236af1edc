"""One word for one thing: no two public classes share a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("components", "flows", "serving")


def classes(root: Path) -> dict[str, list[str]]:
    """The public classes of all modules, and the modules that define each."""
    found: dict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(root).as_posix())
    return found


def twice(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Names that several modules define."""
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_two_classes_have_one_name() -> None:
    found = classes(ROOT)
    assert len(found) > 300
    assert twice(found) == {}


def test_a_second_class_of_a_name_is_found(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "module.py").write_text("class Report:\n    pass\n\n\nclass _Own:\n    pass\n")
    assert twice(classes(tmp_path)) == {"Report": [f"{room}/module.py" for room in ROOMS]}
