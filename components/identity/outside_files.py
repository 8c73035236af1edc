"""The identity of files outside of the project that a spec names: in an installed package, a folder, or of the hub.

A name such as `folder:models/words` stays the same when the files behind it change; the version of a package and the
contents of a folder's files do not. Digests are kept with size and time of a file, as those of a source's files are:
weights are read again only where they have changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from components.core import atomic
from components.core.project import Project
from components.identity import digest, hub_folder


class OutsideFiles(NamedTuple):
    """Digests of folders by their sources, and versions of packages by their names."""

    folders: dict[str, str]
    packages: dict[str, str]


def identity(source: str, names: Sequence[str] | None, root: Path) -> OutsideFiles:
    """The identity of `package:<distribution>`, `folder:<path>` or `hub:<name>`; nothing for other sources.

    A model of the hub that is not on this machine has none: `modelyard run` fetches it first.

    Args:
        names: of the files that are read, others in the folder do not count; None: all that a model in Hugging Face's
            layout has.
        root: folder of relative paths.
    """
    kind, _, place = source.partition(":")
    if kind == "package":
        try:
            return OutsideFiles({}, {place: metadata.version(place)})
        except metadata.PackageNotFoundError:
            return OutsideFiles({}, {place: "not installed"})  # what reads it raises an error
    if kind == "folder":
        folder = hub_folder.HubFolder(source, root / Path(place).expanduser())
    elif kind == "hub":
        local = hub_folder.local(source, weights=names is None)
        if local is None:
            return OutsideFiles({}, {})
        folder = local
    else:
        return OutsideFiles({}, {})
    paths = folder.files() if names is None else [path for name in names if (path := folder.file(name)) is not None]
    return OutsideFiles({source: digest.of_value(_digests(paths, source, root))}, {})


def _digests(paths: Sequence[Path], source: str, root: Path) -> dict[str, str]:
    """The digest of each file by its name."""
    cache = Project(root).state / "cache" / "outside" / f"{digest.short(digest.of_value(source))}.json"
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        known = {}
    found: dict[str, list[object]] = {}
    for path in paths:
        about = path.stat()
        stamp = [str(path), about.st_size, about.st_mtime_ns, about.st_ino]
        kept = known.get(path.name) if isinstance(known, dict) else None
        same = isinstance(kept, list) and kept[:-1] == stamp
        found[path.name] = [*stamp, kept[-1] if same and kept is not None else digest.of_file(path)]
    if found != known and cache.parent.parent.parent.is_dir():  # in a project
        atomic.write_text(cache, json.dumps(found))
    return {name: str(entry[-1]) for name, entry in found.items()}
