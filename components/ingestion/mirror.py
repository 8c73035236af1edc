"""Find files by sha256 in the folder of the environment variable MODELYARD_MIRROR."""

from __future__ import annotations

import json
import os
from pathlib import Path

from components.core import atomic, linked_files
from components.identity import digest

VARIABLE = "MODELYARD_MIRROR"

_Entry = list[int | str]  # size, modification time in nanoseconds, sha256


def find(sha256: str, name: str, cache: Path) -> Path | None:
    """The first file with this sha256; files with this name are checked first.

    Args:
        cache: file with the digests of files read before; a file is read again only if its size or time changed.
    """
    folder = os.environ.get(VARIABLE)
    if not folder or not Path(folder).is_dir():
        return None
    paths = list(linked_files.files(Path(folder)))
    paths.sort(key=lambda path: (path.name != name, str(path)))
    digests = _read_cache(cache)
    before = dict(digests)
    try:
        for path in paths:
            stat = path.stat()
            entry = digests.get(str(path))
            if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
                entry = digests[str(path)] = [stat.st_size, stat.st_mtime_ns, digest.of_file(path)]
            # The cache only suggests a file: the sha256 of its bytes decides.
            if entry[2] == sha256 and digest.of_file(path) == sha256:
                return path
    finally:
        if digests != before:
            atomic.write_text(cache, json.dumps(digests, indent=0, sort_keys=True))
    return None


def _read_cache(cache: Path) -> dict[str, _Entry]:
    try:
        document = json.loads(cache.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return document if isinstance(document, dict) else {}
