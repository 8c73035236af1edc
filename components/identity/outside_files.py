"""The identity of files outside of the project that a spec names: in an installed package, or in a folder.

A name such as `folder:models/words` stays the same when the files behind it change; the version of a package and the
contents of a folder's files do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from components.identity import digest


class OutsideFiles(NamedTuple):
    """Digests of folders by their sources, and versions of packages by their names."""

    folders: dict[str, str]
    packages: dict[str, str]


def identity(source: str, names: Sequence[str], root: Path) -> OutsideFiles:
    """The identity of `package:<distribution>` or `folder:<path>`; nothing for other sources (`hub:`).

    Args:
        names: of the files that are read; others in the folder do not count.
        root: folder of relative paths.
    """
    kind, _, place = source.partition(":")
    if kind == "package":
        try:
            return OutsideFiles({}, {place: metadata.version(place)})
        except metadata.PackageNotFoundError:
            return OutsideFiles({}, {place: "not installed"})  # what reads it raises an error
    if kind != "folder":
        return OutsideFiles({}, {})
    folder = root / Path(place).expanduser()
    found = {name: digest.of_file(folder / name) for name in names if (folder / name).is_file()}
    return OutsideFiles({source: digest.of_value(found)}, {})
