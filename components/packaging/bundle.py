"""A bundle on disk: its tag, its folders, whether it is whole.

Its tag is `<model>:<first 12 digits of the key>`; `bundle_inputs` computes the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contracts.serving_spec import SPEC_FORMAT
from components.core.errors import BundleError
from components.identity import digest
from components.identity import manifest as manifests

ENTRY = "serving.service"
START = "serving.start"  # the program that starts the processes; it travels along, as the rest of what serves

# BentoML writes its own record beside our files, and Python its compiled ones.
COMPILED = frozenset({"__pycache__"})
BESIDE = COMPILED | {"bentofile.yaml"}

SIGNATURE = "bundle.sig"  # in the Bento's folder, over `src/`; no part of what is sealed: each signing gives another
BENTO_BESIDE = COMPILED | {SIGNATURE}


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
            BundleError: it was built by a Modelyard that is too old, or newer than this one.
        """
        present = manifests.load(self.source, "bundle").facts.get("spec_format", 0)
        if present != SPEC_FORMAT:
            raise BundleError(
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
