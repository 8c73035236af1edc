"""The identity of code that is not ours: a task, an objective or a factory that a spec names as `package.module:NAME`.

It is found without being imported: below the project, or where Python would look. Modules of the same package that it
imports count too; what they import of ours is handed on to source_code.py; other libraries count with their versions.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.identity import source_code
from components.identity.module_source import KnownSources
from components.identity.source_code import ROOMS, SourceIdentity


def is_ours(module: str) -> bool:
    """Whether a module lies in one of our rooms."""
    return module.split(".")[0] in ROOMS


def identity(modules: Iterable[str], root: Path) -> SourceIdentity:
    """The identity of the code reachable from modules of ours (below `root`) and of others.

    A module that is not there has no functions; whoever needs it will say so.
    """
    ours: list[str] = []
    functions: dict[str, str] = {}
    libraries: dict[str, str] = {}
    for module in modules:
        if is_ours(module):
            ours.append(module)
            continue
        theirs, imported = own(module, root)
        functions |= theirs.functions
        libraries |= theirs.libraries
        ours += imported
    found = source_code.identity(ours, root)
    functions |= found.functions
    libraries |= found.libraries
    return SourceIdentity(dict(sorted(functions.items())), dict(sorted(libraries.items())))


def copy(modules: Iterable[str], root: Path, target: Path) -> None:
    """Copy the files of all code reachable from modules of ours and of others, so that they import from `target`.

    Raises:
        FileNotFoundError: a module is not there.
    """
    ours: list[str] = []
    for module in modules:
        if is_ours(module):
            ours.append(module)
            continue
        base = _base(module, root)
        if base is None or _file(module, base) is None:
            raise FileNotFoundError(f"no module {module} below {root}, nor where Python looks")
        names, imported = _reached(module, base)
        parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)}
        known = KnownSources(None)
        for name in sorted(names | parents):
            path = _file(name, base)
            if path is not None:
                for file in (path, *map(path.with_name, known.read(name, path).data_files)):
                    place = target / file.relative_to(base)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(file.read_bytes())
        ours += sorted(name for name in imported if _file(name, root) is not None)
    source_code.copy(ours, root, target)


def own(module: str, root: Path) -> tuple[SourceIdentity, list[str]]:
    """The identity of a foreign module with those of its package that it imports; and what they import of ours."""
    base = _base(module, root)
    if base is None:
        return SourceIdentity({}, {}), []
    names, ours = _reached(module, base)
    # Of ours, only what is below `base` is followed there; the caller looks below its own root.
    here = source_code.identity(sorted(names), base)
    functions = {name: value for name, value in here.functions.items() if not is_ours(name)}
    return SourceIdentity(functions, here.libraries), sorted(name for name in ours if _file(name, root) is not None)


def _reached(module: str, base: Path) -> tuple[set[str], set[str]]:
    """The modules of its own package that a module reaches, itself among them; and what they import of ours."""
    top = module.split(".")[0]
    known = KnownSources(None)
    names: set[str] = set()
    ours: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name, base)
        if name in names or path is None:
            continue
        names.add(name)
        for imported in known.read(name, path).imports:
            if imported.split(".")[0] == top:
                waiting.append(imported)
            elif is_ours(imported):
                ours.add(imported)
    return names, ours


def _base(module: str, root: Path) -> Path | None:
    """The folder that a module's package lies in."""
    top = module.split(".")[0]
    for place in (root, *_search_path()):
        if (place / top).is_dir() or (place / f"{top}.py").is_file():
            return place
    try:
        found = importlib.util.find_spec(top)  # an editable installation has a finder of its own
    except (ImportError, ValueError):
        return None
    if found is None or found.origin in (None, "built-in", "frozen"):
        return None
    origin = Path(str(found.origin))
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _search_path() -> Iterator[Path]:
    yield Path.cwd()
    yield from (Path(place) for place in sys.path if place)


def _file(module: str, base: Path) -> Path | None:
    place = base.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None
