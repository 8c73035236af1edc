"""The libraries of a bundle as files, so that it installs without a network: one wheel a pinned requirement.

A file that is there already, in the cache or in a folder of `--find-links`, is taken if its sha256 is one that the lock
file admits; pip downloads the others, and compares the hashes itself.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.core.errors import BundleError
from components.core.log import Log
from components.identity import digest
from components.packaging import requirements

_LAST_LINES = 6


def this_platform() -> str:
    """The platform that wheels collected here are for."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.system().lower()} {platform.machine()}, Python {version}"


def collect(
    pins: Sequence[str],
    hashes: Mapping[str, Sequence[str]],
    cache: Path,
    target: Path,
    *,
    find_links: Sequence[str] = (),
    log: Log | None = None,
) -> list[Path]:
    """Copy one wheel for each pin to an empty folder; those that the cache lacks are downloaded into it first.

    Args:
        hashes: by name of a pin, the sha256 of the files that may be taken.
        find_links: folders to look in before the package index.

    Raises:
        BundleError: a pin has no hashes, or pip did not find a wheel with such a hash.
    """
    if unhashed := [pin for pin in pins if not hashes.get(pin.partition("==")[0])]:
        raise BundleError(
            "the bundle's requirements have no hashes: an earlier Modelyard built it, or it is for CUDA",
            got=", ".join(unhashed[:3]),
            next_step="`modelyard run` builds one of today, `modelyard promote MODEL VERSION` releases it",
        )
    cache.mkdir(parents=True, exist_ok=True)
    admitted = {value: name for name, values in hashes.items() for value in values}
    folders = [cache, *(Path(link) for link in find_links if Path(link).is_dir())]
    present = _present([path for folder in folders for path in sorted(folder.glob("*.whl"))], admitted)
    missing = [pin for pin in pins if pin.partition("==")[0] not in present]
    if missing:
        if log is not None:
            log(f"fetching {len(missing)} of {len(pins)} libraries as wheels")
        _download(missing, hashes, cache, find_links)
        present = _present([*present.values(), *sorted(cache.glob("*.whl"))], admitted)
    names = [pin.partition("==")[0] for pin in pins]
    if absent := [name for name in names if name not in present]:
        raise BundleError("pip fetched no wheel for a library", got=", ".join(absent), where=str(cache))
    target.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(present[name], target / present[name].name)) for name in names]


def _present(paths: Sequence[Path], admitted: Mapping[str, str]) -> dict[str, Path]:
    """By name of a library, the first file with an admitted sha256; files of other libraries are not read."""
    names = {name.replace("-", "_") for name in admitted.values()}
    found: dict[str, Path] = {}
    for path in paths:
        if path.name.partition("-")[0].lower().replace(".", "_") not in names:
            continue
        name = admitted.get(digest.of_file(path))
        if name is not None:
            found.setdefault(name, path)
    return found


def _download(pins: Sequence[str], hashes: Mapping[str, Sequence[str]], cache: Path, find_links: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as temporary:
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text(requirements.as_text(pins, hashes))
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        words += ["--require-hashes", "--only-binary", ":all:", "--dest", temporary, "--requirement", str(wanted)]
        words += [word for link in find_links for word in ("--find-links", link)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BundleError(
                "pip could not fetch the libraries of the bundle",
                got="\n".join(done.stderr.strip().splitlines()[-_LAST_LINES:]),
                next_step="check the network and pip's configuration, or name a folder with the wheels: --find-links",
            )
        for path in Path(temporary).glob("*.whl"):
            os.replace(path, cache / path.name)  # noqa: PTH105
