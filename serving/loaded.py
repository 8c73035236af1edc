"""A package in memory: its bytes proven, its graph warm, its answers those of the process that trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.contracts.errors import CorruptArtifactError, ModelyardError, ServingError
from components.contracts.package import Package
from components.contracts.serving_order import Slot
from components.inference.predictor import Predictor
from serving.settings import ServingSettings

# Between a golden example's probabilities here and in the training process.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Loaded:
    """A package ready to answer, with the settings of its bundle."""

    slot: Slot
    settings: ServingSettings
    predictor: Predictor


def own(bundle: Path) -> Loaded:
    """The package of a bundle's source folder, whichever it is.

    Raises:
        ModelyardError: as `load`.
    """
    settings = ServingSettings.load(bundle)
    digest = Package.open(bundle / "package", verify=False).digest
    return load(Slot(version=settings.version, package_digest=digest, bundle=str(bundle)), settings.model)


def load(slot: Slot, model: str) -> Loaded:
    """Read every byte, warm the graph up and prove it on the golden examples. No request waits for any of it.

    Raises:
        CorruptArtifactError: a byte is not as sealed, the package or the bundle is another one, or an answer is.
        ServingError: it cannot be loaded for any other reason.
    """
    folder = Path(slot.bundle)
    try:
        settings = ServingSettings.load(folder)
        _expect(folder / "serving.json", f"{settings.model} {settings.version}", f"{model} {slot.version}")
        package = Package.open(folder / "package")
        _expect(package.folder, package.digest, slot.package_digest)
        predictor = Predictor(package, max_pixels=settings.max_image_pixels)
        _prove(predictor)
    except ModelyardError:
        raise
    except Exception as error:  # whatever a broken package does to the libraries that read it, it was not loaded
        raise ServingError("the package cannot be loaded", where=slot.bundle, got=repr(error)) from error
    return Loaded(slot, settings, predictor)


def _expect(where: Path, got: str, expected: str) -> None:
    if got != expected:
        raise CorruptArtifactError("another one than the order names", where=str(where), got=got, expected=expected)


def _prove(predictor: Predictor) -> None:
    for example in predictor.package.golden():
        path = predictor.package.folder / "golden" / example.file
        (row,) = predictor.probabilities(predictor.decode([path.read_bytes()]))
        if len(row) != len(example.probabilities) or not np.allclose(row, example.probabilities, 0, TOLERANCE):
            raise CorruptArtifactError(
                "a golden example is answered otherwise than in the training process",
                where=str(path),
                got=np.array2string(row, precision=6),
                expected=f"within {TOLERANCE} of {np.array2string(np.array(example.probabilities), precision=6)}",
            )
