"""One module's source as the identity of code sees it: a digest of each part, and what it imports.

Parsing all that a pipeline can reach takes most of a second, so what was found is kept in `.modelyard/cache/` beside
each file's time and size, as git does in its index.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from components.core import atomic

FORMAT = 2
DATA_FILES = "DATA_FILES"  # a module's constant: names of files beside it that it reads


class ModuleSource(NamedTuple):
    """A module of ours: its file, the digest of each of its parts, what it imports, the data files that it names."""

    path: Path
    parts: tuple[tuple[str, str], ...]
    imports: tuple[str, ...]
    data_files: tuple[str, ...] = ()


class KnownSources:
    """What was found in files before; a file whose time or size is another one is read again."""

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._entries: dict[str, Any] = _load(place) if place else {}
        self._changed = False

    @property
    def is_kept(self) -> bool:
        """Whether what is found is kept."""
        return self._place is not None

    @staticmethod
    def below(root: Path) -> KnownSources:
        """Kept in the project's state, if `root` has one."""
        state = root / ".modelyard"
        return KnownSources(state / "cache" / "source.json" if state.is_dir() else None)

    def read(self, name: str, path: Path) -> ModuleSource:
        """One module.

        Raises:
            SyntaxError: it does not parse.
        """
        now = path.stat()
        stamp = [FORMAT, now.st_mtime_ns, now.st_size]
        entry = self._entries.get(name)
        if entry is None or entry["stamp"] != stamp:
            tree = ast.parse(path.read_bytes(), filename=str(path))
            imports = sorted(set(_imports(tree, name, is_package=path.name == "__init__.py")))
            entry = {
                "stamp": stamp,
                "parts": [list(part) for part in _parts(tree)],
                "imports": imports,
                "data_files": _data_files(tree),
            }
            self._entries[name] = entry
            self._changed = True
        parts = tuple((part, value) for part, value in entry["parts"])
        return ModuleSource(path, parts, tuple(entry["imports"]), tuple(entry["data_files"]))

    def save(self) -> None:
        """Keep what was found."""
        if self._place is not None and self._changed:
            atomic.write_text(self._place, json.dumps(self._entries))


def _load(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _data_files(tree: ast.Module) -> list[str]:
    return [
        str(name)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == DATA_FILES for target in statement.targets)
        for name in ast.literal_eval(statement.value)
    ]


def _parts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    rest: list[ast.stmt] = []
    for statement in _without_docstring(tree.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name, _digest([statement])
        elif isinstance(statement, ast.ClassDef):
            yield from _class_parts(statement)
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            rest.append(statement)
    if rest:
        yield "(module)", _digest(rest)


def _class_parts(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    rest: list[ast.stmt] = []
    for statement in _without_docstring(node.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{node.name}.{statement.name}", _digest([statement])
        else:
            rest.append(statement)
    yield node.name, _digest([*node.bases, *node.keywords, *node.decorator_list, *rest])


def _digest(nodes: Iterable[ast.AST]) -> str:
    hasher = hashlib.sha256()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner.body = _without_docstring(inner.body) or [ast.Pass()]
        hasher.update(ast.dump(node).encode())
    return hasher.hexdigest()[:16]


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body
