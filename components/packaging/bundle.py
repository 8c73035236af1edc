"""Bundles: what makes one, where it lies, whether it is whole.

A bundle's key covers the package, the serving code and its libraries, the settings and the pinned requirements: a
change of serving code makes a new bundle and trains nothing. Its tag is `<model>:<first 12 digits of the key>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from components import tasks
from components.contracts.pipeline import ServingOptions
from components.contracts.serving_spec import SPEC_FORMAT
from components.core.errors import ServingError
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest, user_source
from components.identity import manifest as manifests
from components.identity.source_code import SourceIdentity

ENTRY = "serving.service"
START = "serving.start"  # the program that starts the processes; it travels along, as the rest of what serves

# BentoML writes its own record beside our files, and Python its compiled ones.
COMPILED = frozenset({"__pycache__"})
BESIDE = COMPILED | {"bentofile.yaml"}


class BundleRequest(Strict):
    """`python -m components.packaging REQUEST.json`; paths are relative to the working directory.

    Args:
        source_root: folder that holds our rooms; default: the rooms of the process that builds.
        force: also build a bundle that is there; it is replaced only if it is damaged.
    """

    model: str
    version: str
    key: str
    package: str
    home: str
    requirements: list[str]
    serving: ServingOptions
    force: bool = False
    source_root: str = Field(default_factory=lambda: str(Project(Path()).source_root), exclude=True)


@dataclass(frozen=True)
class Bundle:
    """A bundle in a BentoML home."""

    home: Path
    model: str
    key: str

    @property
    def tag(self) -> str:
        """BentoML's name for it."""
        return f"{self.model}:{digest.short(self.key)}"

    @property
    def folder(self) -> Path:
        """The Bento."""
        return self.home / "bentos" / self.model / digest.short(self.key)

    @property
    def source(self) -> Path:
        """Our part of it: package/, serving/, components/, serving.json, sealed as kind `bundle`."""
        return self.folder / "src"

    def exists(self) -> bool:
        """Whether it is there; bundles appear whole."""
        needed = (self.folder / "bento.yaml", self.folder / manifests.FILE_NAME, self.source / manifests.FILE_NAME)
        return all(path.is_file() for path in needed)

    def require_spec_format(self) -> None:
        """Refuse a bundle whose service does not read today's `spec.json`: do not start it.

        Raises:
            NotFoundError, CorruptArtifactError: there is no such bundle, or its manifest is not as sealed.
            ServingError: it was built by a Modelyard that is too old, or newer than this one.
        """
        present = manifests.load(self.source, "bundle").facts.get("spec_format", 0)
        if present != SPEC_FORMAT:
            raise ServingError(
                "the service of this bundle does not read the specs of this version of Modelyard",
                where=str(self.folder),
                got=f"spec format {present}",
                expected=f"spec format {SPEC_FORMAT}",
                next_step=f"`modelyard run {self.model}` builds a bundle of the version's package with today's service",
            )

    def verify(self) -> manifests.Manifest:
        """Read every byte of our part and compare it with the seal.

        Raises:
            NotFoundError: there is no such bundle.
            CorruptArtifactError: names the file that is not as sealed.
        """
        return manifests.verify(self.source, "bundle", BESIDE)


def entries(task: str) -> list[str]:
    """The modules that a bundle's code is reached from: service, its start, and the task, which is found by name."""
    return [ENTRY, START, tasks.module(task)]


def code(source_root: Path, task: str) -> SourceIdentity:
    """The identity of the code that a bundle of a task holds."""
    return user_source.identity(entries(task), source_root)


def code_digest(identity: SourceIdentity, requirements: list[str]) -> str:
    """What a serving process runs beside its package: equal for bundles that differ in package or settings alone."""
    return digest.of_value({"functions": identity.functions, "requirements": requirements})


def parts(
    package_digest: str, version: str, serving: ServingOptions, requirements: list[str], identity: SourceIdentity
) -> dict[str, Any]:
    """What a bundle is made of; the digest of this is its key."""
    return {
        "package": package_digest,
        "version": version,
        **{f"serving.{name}": value for name, value in serving.model_dump(mode="json").items()},
        **{f"library {name}": number for name, _, number in (line.partition("==") for line in requirements)},
        **{f"function {name}": value for name, value in identity.functions.items()},
    }
