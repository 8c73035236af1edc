"""Files beside the modules, such as templates and styles, are installed with the modules."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_data_file_is_installed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = {
        path
        for room in ("components", "flows", "serving")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert ROOT / "components/validation/report.css" in files
    assert {path for path in files if not any(path.match(pattern) for pattern in patterns)} == set()
    assert {path for path in files if not (path.parent / "__init__.py").is_file()} == set()
