"""The identity of code: comments and docstrings do not count, functions and what they reach do."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.identity import module_source, source_code

MAIN = '''\
"""A stage."""
import numpy

from components.tools import double  # a helper


class Net:
    """A network."""

    size = 3

    def forward(self, x: int) -> int:
        """Compute."""
        return double(x) * self.size


def main() -> int:
    from components.late import later

    return later()
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    rooms = tmp_path / "components"
    rooms.mkdir()
    (rooms / "__init__.py").touch()
    (rooms / "stage.py").write_text(MAIN)
    (rooms / "tools.py").write_text("def double(x):\n    return 2 * x\n")
    (rooms / "late.py").write_text("def later():\n    return 1\n")
    (rooms / "unrelated.py").write_text("def other():\n    return 1\n")
    return tmp_path


def identity(tree: Path) -> source_code.SourceIdentity:
    return source_code.identity(["components.stage"], tree)


def edit(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / "components" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage.py", "# a helper", "# something else"),
        ("stage.py", '"""Compute."""', '"""Compute much."""\n'),
        ("stage.py", '"""A network."""', ""),
        ("stage.py", "double(x) * self.size", "(double(x)\n            * self.size)"),
        ("unrelated.py", "return 1", "return 2"),
    ],
)
def test_what_does_not_count(tree: Path, name: str, old: str, new: str) -> None:
    before = identity(tree)
    edit(tree, name, old, new)
    assert identity(tree) == before
    assert identity(tree).digest == before.digest


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("stage.py", "* self.size", "+ self.size", "components.stage:Net.forward changed"),
        ("stage.py", "size = 3", "size = 4", "components.stage:Net changed"),
        ("tools.py", "2 * x", "3 * x", "components.tools:double changed"),
        ("late.py", "return 1", "return 2", "components.late:later changed"),
        ("late.py", "def later", "def added():\n    return 0\n\ndef later", "components.late:added is new"),
    ],
)
def test_what_counts_is_named(tree: Path, name: str, old: str, new: str, said: str) -> None:
    before = identity(tree)
    edit(tree, name, old, new)
    assert source_code.changes(before, identity(tree)) == [said]
    assert identity(tree).digest != before.digest


def test_a_library_counts_with_its_version(tree: Path) -> None:
    now = identity(tree)
    assert now.libraries["numpy"].count(".") == 2
    before = source_code.SourceIdentity(now.functions, {"numpy": "1.0.0"})
    assert source_code.changes(before, now) == [f"numpy 1.0.0 -> {now.libraries['numpy']}"]


def test_an_unknown_entry_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source_code.identity(["components.none"], tree)


def test_data_files_that_a_module_names_travel_and_count(tmp_path: Path) -> None:
    room = tmp_path / "root" / "serving"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("")
    (room / "page.py").write_text('DATA_FILES = ("page.html",)\n')
    (room / "page.html").write_text("<h1>one</h1>")
    (room / "other.html").write_text("named by nobody")
    before = source_code.identity(["serving.page"], tmp_path / "root")
    assert "serving.page:page.html" in before.functions
    source_code.copy(["serving.page"], tmp_path / "root", tmp_path / "copy")
    copied = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == {"__init__.py", "page.py", "page.html"}
    (room / "page.html").write_text("<h1>two</h1>")
    after = source_code.identity(["serving.page"], tmp_path / "root")
    assert source_code.changes(before, after) == ["serving.page:page.html changed"]
    (room / "page.html").unlink()
    with pytest.raises(FileNotFoundError):
        source_code.identity(["serving.page"], tmp_path / "root")


def test_what_was_read_ahead_is_not_parsed_again(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(tree)
    (tree / "components" / "broken.py").write_text("def (\n")
    source_code.read_ahead(tree)  # keeps nothing: there is no state
    assert not (tree / ".modelyard").exists()
    (tree / ".modelyard").mkdir()
    source_code.read_ahead(tree)
    with monkeypatch.context() as patched:
        patched.setattr(module_source.ast, "parse", None)
        assert identity(tree) == before
    edit(tree, "tools.py", "2 * x", "3 * x")
    assert source_code.changes(before, identity(tree)) == ["components.tools:double changed"]
