"""What a bundle must install: the few libraries that serving and its task need and all that those need, pinned."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from components.core import atomic
from components.core.errors import BundleError
from components.identity import digest, lock_file

# httptools and uvloop are what uvicorn takes where they are there: a third more requests a second.
ROOTS = ("bentoml", "httptools", "jinja2", "numpy", "onnxruntime", "orjson", "pydantic", "uvloop")

RUNTIME = "onnxruntime"
GPU_BEHIND = 2  # minor versions that the build for CUDA may be behind: it appears later, and not for each version


def kept(lock: Path, cache: Path, libraries: Sequence[str]) -> list[str]:
    """`pinned`, found once for a lock file and kept in a folder: it reads the metadata of seventy libraries.

    Raises:
        BundleError: as `pinned`.
    """
    place = cache / f"serving-requirements-{digest.of_value([digest.of_file(lock), *ROOTS, *libraries])[:16]}"
    try:
        return place.read_text().splitlines()
    except FileNotFoundError:
        found = pinned(lock, libraries)
        atomic.write_text(place, "\n".join(found))
        return found


def pinned(lock: Path, libraries: Sequence[str]) -> list[str]:
    """`name==version` of the roots, a task's libraries and everything they need, as the lock file pins them, sorted.

    Raises:
        BundleError: something needed is not in the lock, or is not installed.
    """
    versions = locked(lock)
    needed: dict[str, str] = {}
    waiting = [Requirement(root) for root in (*ROOTS, *libraries)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        known = f"{name}[{','.join(sorted(requirement.extras))}]"
        if known in needed:
            continue
        if name not in versions:
            raise BundleError(
                "a library that serving needs is not locked", where=str(lock), got=name, next_step="make lock"
            )
        needed[known] = f"{name}=={versions[name]}"
        try:
            wanted = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError as error:
            raise BundleError("a locked library is not installed", got=name, next_step="make install") from error
        for inner in map(Requirement, wanted):
            markers = [{"extra": extra} for extra in ("", *requirement.extras)]
            if inner.marker is None or any(inner.marker.evaluate(marker) for marker in markers):
                waiting.append(inner)
    return sorted(set(needed.values()))


def for_device(requirements: list[str], device: str) -> list[str]:
    """The requirements of a bundle for a device: for `cuda`, onnxruntime's build for CUDA in place of the other.

    The build for CUDA is a distribution of its own, whose versions are other ones; neither it nor the libraries of CUDA
    and cuDNN that it brings are in the lock file. It gets bounds and no pin (`unpinned` names it).
    """
    if device != "cuda":
        return requirements
    return sorted(_gpu(line) if line.startswith(f"{RUNTIME}==") else line for line in requirements)


def unpinned(requirements: Sequence[str]) -> list[str]:
    """The requirements without an exact version."""
    return [line for line in requirements if "==" not in line]


def _gpu(pin: str) -> str:
    # The newest graph format and operators that the locked version reads, an older one need not.
    version = Version(pin.partition("==")[2])
    return f"{RUNTIME}-gpu[cuda,cudnn]>={version.major}.{max(0, version.minor - GPU_BEHIND)},<{version.major + 1}"


def locked(lock: Path) -> dict[str, str]:
    """Name to version of every line of a lock file."""
    return {canonicalize_name(pin.name): pin.version for pin in lock_file.read(lock)}


def hashes(lock: Path, pins: Sequence[str]) -> dict[str, list[str]]:
    """For each pin `name==version`, the sha256 of every file of that release that the lock file admits, sorted.

    Raises:
        BundleError: the lock file has no hashes for a pin.
    """
    admitted = {f"{canonicalize_name(pin.name)}=={pin.version}": sorted(pin.hashes) for pin in lock_file.read(lock)}
    for pin in pins:
        if not admitted.get(pin):
            raise BundleError(
                "a library that serving needs is locked without hashes", where=str(lock), got=pin, next_step="make lock"
            )
    return {pin.partition("==")[0]: admitted[pin] for pin in pins}


def as_text(pins: Sequence[str], hashes_by_name: Mapping[str, Sequence[str]]) -> str:
    """A requirements file; with hashes where there are any, as `pip install --require-hashes` wants them."""
    lines = []
    for pin in pins:
        found = hashes_by_name.get(pin.partition("==")[0], ())
        lines.append(" \\\n    ".join([pin, *(f"--hash=sha256:{value}" for value in found)]))
    return "\n".join(lines) + "\n"
