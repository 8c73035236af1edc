"""Take out of an image's configuration what differs from build to build.

podman writes the random name of the container of the build into configurations in Docker's format, and only Docker's
format holds a health check. So the image is saved, the names are emptied, and it is loaded again: its digest then
follows from its content.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

from components.core.errors import BundleError

_MANIFEST = "manifest.json"


def without_random_names(saved: Path, target: Path) -> None:
    """Copy an archive of an image in Docker's format, its configuration without the names of the build's container.

    Raises:
        BundleError: the archive has another layout than expected.
    """
    try:
        with tarfile.open(saved) as source, tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as copy:
            manifest = json.loads(_content(source, _MANIFEST))
            renamed = {}
            for entry in manifest:
                content = _rewritten(_content(source, entry["Config"]))
                renamed[entry["Config"]] = (f"{hashlib.sha256(content).hexdigest()}.json", content)
                entry["Config"] = renamed[entry["Config"]][0]
            for member in source:
                if member.name == _MANIFEST:
                    _add(copy, _MANIFEST, json.dumps(manifest).encode())
                elif member.name in renamed:
                    _add(copy, *renamed[member.name])
                else:
                    copy.addfile(member, source.extractfile(member) if member.isreg() else None)
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BundleError("the saved image has another layout than expected", where=str(saved), got=error) from error


def _rewritten(content: bytes) -> bytes:
    document: dict[str, Any] = json.loads(content)
    document.pop("container", None)
    for name in ("config", "container_config"):
        if isinstance(document.get(name), dict):
            document[name]["Hostname"] = ""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file")
    return stream.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, BytesIO(content))
