"""The predictor of a bundle, loaded and checked as the service loads it."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.score_request import ScoreRequest
from components.contracts.serving_spec import Device, Tolerant
from components.core.errors import CorruptArtifactError
from components.identity import manifest as manifests
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor

# BentoML writes its own record beside the bundle's files, and Python its compiled ones.
_BESIDE = frozenset({"__pycache__", "bentofile.yaml"})


class BundleSettings(Tolerant):
    """What `serving.json` says of the predictor, as the service reads it."""

    model: str
    version: str
    max_batch_size: int
    max_image_pixels: int
    threads: int = 1
    batch_size: int | None = None
    device: Device = "auto"
    gpu_memory_mb: int | None = None

    @property
    def samples(self) -> int:
        """How many samples are computed together."""
        return self.batch_size or self.max_batch_size


def verify(request: ScoreRequest) -> manifests.Manifest:
    """Compare every byte of the bundle with its seal, and the seal with the request.

    Raises:
        NotFoundError: there is no such bundle.
        CorruptArtifactError: a byte is not as sealed, or the bundle is another one.
    """
    sealed = manifests.verify(Path(request.bundle), "bundle", _BESIDE)
    if request.bundle_digest not in (None, sealed.digest):
        raise CorruptArtifactError(
            "the bundle is not the one that is asked for",
            where=request.bundle,
            got=sealed.digest,
            expected=request.bundle_digest,
            next_step=f"`modelyard verify {request.model}` says what differs",
        )
    return sealed


def settings(bundle: Path) -> BundleSettings:
    """`serving.json` of a bundle's source folder."""
    return BundleSettings.model_validate_json((bundle / "serving.json").read_bytes())


def load(request: ScoreRequest) -> Predictor:
    """The predictor of a verified bundle, after it answered the golden examples.

    Raises:
        CorruptArtifactError: the package does not load, or an answer differs from that of the training process.
        ServingError: the device is not there.
    """
    found = settings(Path(request.bundle))
    package = Package.open(Path(request.bundle) / "package", verify=False)  # by `verify`, once for all processes
    predictor = Predictor(
        package,
        threads=found.threads,
        max_pixels=found.max_image_pixels,
        device=found.device,
        gpu_memory_mb=found.gpu_memory_mb,
    )
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        parsed = body.read(predictor.processor, predictor.endpoint, content, example.media)
        (answer,) = predictor.predict(parsed.items, parsed.parameters)
        if not difference(example.answer, answer) <= request.tolerance:
            raise CorruptArtifactError(
                "the answer to a golden example differs from that of the training process",
                where=example.file,
                got=json.dumps(answer, ensure_ascii=False)[:1000],
                expected=json.dumps(example.answer, ensure_ascii=False)[:1000],
            )
    return predictor
