"""The model package: the unit that travels from training to registry, bundle and service.

    manifest.json       kind `package`: digest, files, facts (`PackageFacts`)
    model.onnx          for serving; takes `input`, uint8 (N, H, W, C), gives `probabilities`, float32 (N, classes)
    model.safetensors   for continuing
    model.json          the model's spec, to build the network that the safetensors fit
    processor.json      raw example -> tensor, with fitted statistics
    signature.json      what goes in and what comes out (`Signature`)
    golden/             examples as files, and outputs.json with the training process's own outputs for them
    metrics.json        on the frozen test split
    README.md           the model card

Nothing in it is code or a pickle: loading it parses JSON, safetensors and an ONNX graph without external operators.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from components.contracts import manifest as manifests
from components.contracts.errors import CorruptArtifactError
from components.contracts.strict import Strict


class PackageFacts(Strict):
    """What the manifest says beside the files."""

    pipeline: str
    task: Literal["image-classification"]
    train_key: str
    data_digest: str
    lineage: dict[str, str]


class Signature(Strict):
    """Shapes and types of the graph; -1 is the batch."""

    input_name: str
    input_type: Literal["uint8"]
    input_shape: list[int]
    output_name: str
    output_type: Literal["float32"]
    output_shape: list[int]
    classes: list[str]


class GoldenExample(Strict):
    """An example file below `golden/`, its true label, and the training process's own probabilities for it."""

    file: str
    label: str
    probabilities: list[float]


class Package:
    """A sealed package on disk, opened for reading."""

    def __init__(self, folder: Path, manifest: manifests.Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.facts = PackageFacts.model_validate(manifest.facts)

    @staticmethod
    def open(folder: Path, *, verify: bool = True) -> Package:
        """Open a package; with `verify`, every byte is compared with the manifest first.

        Raises:
            NotFoundError: no manifest there.
            CorruptArtifactError: a byte, a file or the manifest is not what was sealed.
        """
        manifest = (manifests.verify if verify else manifests.load)(folder, "package")
        try:
            return Package(folder, manifest)
        except ValidationError as error:
            raise CorruptArtifactError("the facts are no package's", where=str(folder), got=error) from error

    @property
    def digest(self) -> str:
        """The package's identity."""
        return self.manifest.digest

    @property
    def onnx(self) -> Path:
        """The graph for serving."""
        return self.folder / "model.onnx"

    @property
    def processor(self) -> Path:
        """The preprocessing with its fitted state."""
        return self.folder / "processor.json"

    def signature(self) -> Signature:
        """Shapes, types and class names."""
        return Signature.model_validate_json((self.folder / "signature.json").read_bytes())

    def golden(self) -> list[GoldenExample]:
        """The golden examples with the training process's outputs."""
        return _GoldenFile.model_validate_json((self.folder / "golden" / "outputs.json").read_bytes()).examples

    def golden_classes(self) -> list[str]:
        """The order of the golden probabilities: the training process's own word, not the signature's.

        Packages from before it was written down have the order in the tables of metrics.json, if not the signature's.
        """
        file = _GoldenFile.model_validate_json((self.folder / "golden" / "outputs.json").read_bytes())
        if file.classes is not None:
            return file.classes
        rows = self.metrics().get("per_class", [])
        return [str(row["class"]) for row in rows] or self.signature().classes

    def metrics(self) -> dict[str, Any]:
        """`metrics.json`: `overall` holds the named figures, the rest tables."""
        return _MetricsFile.model_validate_json((self.folder / "metrics.json").read_bytes()).model_dump()


class _GoldenFile(Strict):
    examples: list[GoldenExample]
    classes: list[str] | None = None


class _MetricsFile(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    split: str
    samples: int
    overall: dict[str, float]
