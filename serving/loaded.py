"""A package in memory: its bytes proven, its graph warm, its answers those of the process that trained it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from components.contracts.serving_spec import SlotSpec
from components.core.errors import CorruptArtifactError, ModelyardError, ServingError
from components.identity.package import GoldenExample, Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.tasks.task import Prediction
from serving.settings import ServingSettings


@dataclass(frozen=True, eq=False)
class Loaded:
    """A package ready to answer, with the settings of its bundle."""

    slot: SlotSpec
    settings: ServingSettings
    predictor: Predictor


def own(bundle: Path) -> Loaded:
    """The package of a bundle's source folder, whichever it is, warm; what it answers is the parity gate's question.

    Raises:
        ModelyardError: as `load`.
    """
    settings = ServingSettings.load(bundle)
    package = Package.open(bundle / "package")
    predictor = Predictor(package, max_pixels=settings.max_image_pixels)
    for example in package.golden()[:2]:
        _answer(predictor, example)
    slot = SlotSpec(version=settings.version, package_digest=package.digest, bundle=str(bundle))
    return Loaded(slot, settings, predictor)


def load(slot: SlotSpec, model: str) -> Loaded:
    """Read every byte, warm the graph up and prove it on the golden examples. No request waits for any of it.

    Raises:
        CorruptArtifactError: a byte is not as sealed, the package or the bundle is another one, or an answer is.
        NotFiniteError: an answer is none.
        ServingError: it cannot be loaded for any other reason.
    """
    folder = Path(slot.bundle)
    try:
        settings = ServingSettings.load(folder)
        _expect(folder / "serving.json", f"{settings.model} {settings.version}", f"{model} {slot.version}")
        package = Package.open(folder / "package")
        _expect(package.folder, package.digest, slot.package_digest)
        predictor = Predictor(package, max_pixels=settings.max_image_pixels)
        _prove(package, predictor, slot.tolerance)
    except ModelyardError:
        raise
    except Exception as error:  # whatever a broken package does to the libraries that read it, it was not loaded
        raise ServingError("the package cannot be loaded", where=slot.bundle, got=repr(error)) from error
    return Loaded(slot, settings, predictor)


def _expect(where: Path, got: str, expected: str) -> None:
    if got != expected:
        raise CorruptArtifactError("another one than the order names", where=str(where), got=got, expected=expected)


def _prove(package: Package, predictor: Predictor, tolerance: float) -> None:
    for example in package.golden():
        answer = _answer(predictor, example)
        if not difference(example.answer, answer) <= tolerance:
            raise CorruptArtifactError(
                "a golden example is answered otherwise than in the training process",
                where=example.file,
                got=_short(answer),
                expected=_short(example.answer),
            )


def _answer(predictor: Predictor, example: GoldenExample) -> Prediction:
    content = (predictor.package.folder / "golden" / example.file).read_bytes()
    asked = body.read(predictor.processor, predictor.endpoint, content, example.media)
    (answer,) = predictor.predict(asked.items, asked.parameters)
    return answer


def _short(answer: Prediction) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]} ..."
