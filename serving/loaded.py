"""Load a package: verify its bytes, warm up its graph, check its golden examples."""

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
from serving.input_contract import InputContract
from serving.settings import ServingSettings


@dataclass(frozen=True, eq=False)
class LoadedPackage:
    """A package ready to answer, with the settings of its bundle.

    Args:
        contract: what its requests are held against; None: nothing is enforced.
    """

    spec: SlotSpec
    settings: ServingSettings
    predictor: Predictor
    contract: InputContract | None = None


def own(bundle: Path) -> LoadedPackage:
    """Load the package of a bundle's source folder, whichever it is, and warm it up; its answers are not checked.

    Raises:
        ModelyardError: as `load`.
    """
    settings = ServingSettings.load(bundle)
    package = Package.open(bundle / "package")
    predictor = _predictor(package, settings)
    for example in package.golden()[:2]:
        _answer(predictor, example)
    spec = SlotSpec(version=settings.version, package_digest=package.digest, bundle=str(bundle))
    return LoadedPackage(spec, settings, predictor, InputContract.load(bundle, settings.enforce))


def load(spec: SlotSpec, model: str) -> LoadedPackage:
    """Load the package of a slot and check it. Requests do not wait meanwhile.

    Raises:
        CorruptArtifactError: a byte is not as sealed, the package or the bundle is another one, or an answer is.
        NotFiniteError: an answer is none.
        ServingError: it cannot be loaded for any other reason.
    """
    folder = Path(spec.bundle)
    try:
        settings = ServingSettings.load(folder)
        _expect(folder / "serving.json", f"{settings.model} {settings.version}", f"{model} {spec.version}")
        package = Package.open(folder / "package")
        _expect(package.folder, package.digest, spec.package_digest)
        predictor = _predictor(package, settings)
        contract = InputContract.load(folder, settings.enforce)
        _check_golden_examples(package, predictor, spec.tolerance)
    except ModelyardError:
        raise
    except Exception as error:  # a broken package can make the libraries that read it raise anything
        raise ServingError("the package cannot be loaded", where=spec.bundle, got=repr(error)) from error
    return LoadedPackage(spec, settings, predictor, contract)


def _predictor(package: Package, settings: ServingSettings) -> Predictor:
    return Predictor(
        package,
        threads=settings.threads,
        max_pixels=settings.max_image_pixels,
        device=settings.device,
        gpu_memory_mb=settings.gpu_memory_mb,
    )


def _expect(where: Path, got: str, expected: str) -> None:
    if got != expected:
        raise CorruptArtifactError(
            "the bundle does not hold what the spec names", where=str(where), got=got, expected=expected
        )


def _check_golden_examples(package: Package, predictor: Predictor, tolerance: float) -> None:
    for example in package.golden():
        answer = _answer(predictor, example)
        if not difference(example.answer, answer) <= tolerance:
            raise CorruptArtifactError(
                "the answer to a golden example differs from that of the training process",
                where=example.file,
                got=_short(answer),
                expected=_short(example.answer),
            )


def _answer(predictor: Predictor, example: GoldenExample) -> Prediction:
    content = (predictor.package.folder / "golden" / example.file).read_bytes()
    parsed = body.read(predictor.processor, predictor.endpoint, content, example.media)
    (answer,) = predictor.predict(parsed.items, parsed.parameters)
    return answer


def _short(answer: Prediction) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]} ..."
