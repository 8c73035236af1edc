"""The identity of code: a digest of every function that a stage can reach, deaf to comments and docstrings.

A stage's code is the closure of the imports that stand in its entry module (found in the syntax tree, so imports
inside functions count too), as far as they lead to rooms of ours. Each top-level function and each method has a
digest of its syntax tree without docstrings; so does what is left of a module (module_source.py). Libraries that the
closure imports count with the versions installed. A module's constant `DATA_FILES` names files beside it that it
reads (templates, styles): their bytes count too. Editing a comment changes nothing; editing a function names it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from components.identity import digest
from components.identity.module_source import KnownSources, ModuleSource

ROOMS = ("components", "flows", "serving")
STAGE_ROOMS = ("components", "serving")

# They word messages, render pages, write files and start processes; what a stage computes does not depend on them.
NEUTRAL = frozenset(
    {
        "components.core.atomic",
        "components.core.errors",
        "components.core.html_page",
        "components.core.priority",
        "components.identity.module_source",
        "components.core.progress",
        "components.core.project",
        "components.identity.source_code",
        "components.core.stage_process",
    }
)

# Where the distribution is not named like the module.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "google": "protobuf",
    "great_expectations": "great-expectations",
    "pillow_heif": "pillow-heif",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


class SourceIdentity(NamedTuple):
    """What a stage's code is: functions as `module:name`, libraries as `distribution`, each with digest or version."""

    functions: dict[str, str]
    libraries: dict[str, str]

    @property
    def digest(self) -> str:
        """One sha256 over both."""
        return digest.of_value({"functions": self.functions, "libraries": self.libraries})


def identity(entries: Iterable[str], root: Path) -> SourceIdentity:
    """The identity of the code reachable from the named modules, in the source tree below `root`.

    Raises:
        FileNotFoundError: an entry module has no file below `root`.
        SyntaxError: a reachable module does not parse.
    """
    functions: dict[str, str] = {}
    libraries: dict[str, str] = {}
    for name, module in _closure(entries, root).items():
        if name in NEUTRAL:
            continue
        functions.update({f"{name}:{part}": value for part, value in module.parts})
        functions.update(
            {f"{name}:{file}": digest.of_file(module.path.with_name(file))[:16] for file in module.data_files}
        )
        for top in {imported.split(".")[0] for imported in module.imports}:
            if top not in ROOMS and top not in sys.stdlib_module_names:
                distribution = DISTRIBUTIONS.get(top, top)
                libraries[distribution] = _version(distribution)
    return SourceIdentity(dict(sorted(functions.items())), dict(sorted(libraries.items())))


def read_ahead(root: Path) -> None:
    """Read all modules that stages are made of, where what is found is kept: the next `identity` takes no second."""
    known = KnownSources.below(root)
    if not known.is_kept:
        return
    for room in STAGE_ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            with contextlib.suppress(OSError, SyntaxError, ValueError):  # `identity` reports it where the module counts
                parts = path.relative_to(root).with_suffix("").parts
                known.read(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)
    known.save()


def copy(entries: Iterable[str], root: Path, target: Path) -> None:
    """Copy all modules reachable from the named ones, with their data files, so that they run from `target`."""
    for module in _closure(entries, root).values():
        for path in (module.path, *map(module.path.with_name, module.data_files)):
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def _closure(entries: Iterable[str], root: Path) -> dict[str, ModuleSource]:
    """Each reachable module of ours."""
    found: dict[str, ModuleSource] = {}
    known = KnownSources.below(root)
    waiting = list(entries)
    for entry in waiting:
        if _file(entry, root) is None:
            raise FileNotFoundError(f"no module {entry} below {root}")
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if name in found or path is None:
            continue
        found[name] = known.read(name, path)
        parents = name.split(".")[:-1]
        waiting.extend(".".join(parents[: depth + 1]) for depth in range(len(parents)))
        waiting.extend(module for module in found[name].imports if module.split(".")[0] in ROOMS)
    known.save()
    return dict(sorted(found.items()))


def changes(before: SourceIdentity, now: SourceIdentity) -> list[str]:
    """What differs, in words: `components.models.resnet:ResNet.forward changed`, `torch 2.12.0 -> 2.13.0`."""
    return [*_differences(before.functions, now.functions, versions=False),
            *_differences(before.libraries, now.libraries, versions=True)]  # fmt: skip


def _differences(before: dict[str, str], now: dict[str, str], *, versions: bool) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != now[name]:
            yield f"{name} {before[name]} -> {now[name]}" if versions else f"{name} changed"


def _file(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@functools.lru_cache(maxsize=256)
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
