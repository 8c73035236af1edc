"""The model package: the unit that travels from training to registry, bundle and service.

    manifest.json       kind `package`: digest, files, facts (`PackageFacts`)
    model.onnx          for serving; a task that samples has several graphs, each `<name>.onnx`; weights of a graph
                        beyond 2 GB lie in `<name>.onnx.data` beside it
    model.safetensors   for continuing
    model.json          the model's spec, to build the network that the safetensors fit
    config.json         of a network that is one of transformers' classes: transformers' config; images and sounds
                        have preprocessor_config.json beside it, recognisers of speech generation_config.json
    processor.json      raw example -> arrays, with fitted statistics; a tokenizer lies beside it as tokenizer.json
    signature.json      what goes into each graph and what comes out (`Signature`)
    golden/             examples as files, and outputs.json with the training process's own answers to them
    metrics.json        on the frozen test split
    README.md           the model card

Nothing in it is code or a pickle: loading it parses JSON, safetensors and an ONNX graph without external operators. The
manifest covers every file, external data too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from components.core.errors import CorruptArtifactError
from components.core.strict import Strict
from components.identity import manifest as manifests
from components.identity.answer_facts import ConformalFacts, DecisionFacts
from components.identity.calibration_facts import CalibrationFacts

HUB_CONFIG, HUB_PROCESSOR, HUB_GENERATION = "config.json", "preprocessor_config.json", "generation_config.json"
EXTERNAL_DATA = ".data"  # behind the name of a graph: its weights, where they do not fit into it
BATCH = "batch"  # the free size that is the number of samples


class QuantizationTrial(Strict):
    """int8 graphs of one recipe on the validation split.

    Args:
        figure: the task's first metric; None: the graphs could not be made.
        problem: why the recipe was not taken.
    """

    recipe: str
    figure: float | None
    problem: str | None


class QuantizationFacts(Strict):
    """What `serving.quantize: int8` came to: what it won and cost, or why the package has float graphs.

    Args:
        kept: whether the package's graphs are the int8 ones.
        reason: in words.
        metric: the task's first.
        validation: the float graphs' figure on the validation split, by which the recipe is chosen.
        trials: the recipes in the order in which they were tried.
        float_figures, int8_figures: on the test split; int8's only if a recipe was chosen.
        loss: how much the first metric is worse (see `ServingOptions.quantize_max_loss`), and what was allowed.
        float_bytes, int8_bytes: of all graphs together.
        golden_agree: golden examples to which both give the same answer, of all.
        golden_difference: largest difference between their numbers, of the examples where it is finite.
    """

    kept: bool
    reason: str
    metric: str
    float_figures: dict[str, float]
    float_bytes: int
    max_loss: float
    validation: float | None = None
    trials: list[QuantizationTrial] = Field(default_factory=list)
    int8_figures: dict[str, float] | None = None
    int8_bytes: int | None = None
    loss: float | None = None
    golden_agree: str | None = None
    golden_difference: float | None = None


class PackageFacts(Strict):
    """What the manifest says beside the files.

    Args:
        parameters: of the network; None: packages of earlier versions do not say.
        quantization: only where the pipeline asks for int8 graphs.
        calibration: temperature scaling of a classifier; None: there was none to try.
        decision, conformal: only where the pipeline asks for them.
    """

    pipeline: str
    task: str
    # Packages of earlier versions have the older name.
    train_fingerprint: str = Field(validation_alias=AliasChoices("train_fingerprint", "train_key"))
    data_digest: str
    lineage: dict[str, str]
    parameters: int | None = Field(default=None, exclude_if=lambda count: count is None)
    quantization: QuantizationFacts | None = Field(default=None, exclude_if=lambda facts: facts is None)
    calibration: CalibrationFacts | None = Field(default=None, exclude_if=lambda facts: facts is None)
    decision: DecisionFacts | None = Field(default=None, exclude_if=lambda facts: facts is None)
    conformal: ConformalFacts | None = Field(default=None, exclude_if=lambda facts: facts is None)


class TensorSpec(Strict):
    """An input or output of a graph. A name in the shape is a free size: `batch`, `length`."""

    name: str
    type: Literal["uint8", "int64", "float32", "bool"]
    shape: list[int | str]


class GraphSpec(Strict):
    """What one graph takes and gives, in order.

    Args:
        optional: inputs that are zeros where a feed has none, and free sizes of theirs but the batch are 0.
        on_request: outputs that are in an answer only if they are asked for by name.
        state: inputs that are the state after the tokens before, each with the output that is the next state.
    """

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    # Graphs without these have signatures, and digests, as before.
    optional: list[str] = Field(default=[], exclude_if=lambda names: not names)
    on_request: list[str] = Field(default=[], exclude_if=lambda names: not names)
    state: dict[str, str] = Field(default={}, exclude_if=lambda names: not names)

    @property
    def answers(self) -> list[str]:
        """Names of the outputs that are no state and not on request."""
        others = {*self.state.values(), *self.on_request}
        return [spec.name for spec in self.outputs if spec.name not in others]

    def zeros(self, name: str) -> list[int | str]:
        """The shape of an optional input without a value: the batch stays free, other free sizes are 0."""
        shape = next(spec.shape for spec in self.inputs if spec.name == name)
        return [size if isinstance(size, int) or size == BATCH else 0 for size in shape]


class Signature(Strict):
    """The graphs by name (`model` where there is one), and the names of the classes; [] for a task without."""

    graphs: dict[str, GraphSpec]
    classes: list[str]


class GoldenExample(Strict):
    """An example below `golden/`: a request's body, its media type, the truth in words, the training's own answer."""

    file: str = Field(pattern=r"^[^/\\]+$")  # read below golden/ and nowhere else
    media: str
    truth: str
    answer: dict[str, Any]


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

    def graph(self, name: str = "model") -> Path:
        """A graph for serving."""
        return self.folder / f"{name}.onnx"

    def graph_files(self, name: str = "model") -> list[Path]:
        """The files of a graph: itself, and its weights, if they lie beside it."""
        graph = self.graph(name)
        data = graph.with_name(graph.name + EXTERNAL_DATA)
        return [graph, data] if data.is_file() else [graph]

    def signature(self) -> Signature:
        """Graphs and class names."""
        return Signature.model_validate_json((self.folder / "signature.json").read_bytes())

    def golden(self) -> list[GoldenExample]:
        """The golden examples with the training process's answers."""
        return _GoldenFile.model_validate_json((self.folder / "golden" / "outputs.json").read_bytes()).examples

    def golden_classes(self) -> list[str]:
        """The training process's own order of the classes: its word, not the signature's."""
        return _GoldenFile.model_validate_json((self.folder / "golden" / "outputs.json").read_bytes()).classes

    def parameters(self) -> int:
        """The network's parameters; of a package of an earlier version, the values of its weights and buffers.

        Raises:
            CorruptArtifactError: the header of the weights cannot be read.
        """
        if self.facts.parameters is not None:
            return self.facts.parameters
        path = self.folder / "model.safetensors"
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            return sum(math.prod(part["shape"]) for name, part in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError("the weights have no readable header", where=str(path), got=error) from error

    def metrics(self) -> dict[str, Any]:
        """`metrics.json`: `overall` holds the named figures, the rest tables."""
        return _MetricsFile.model_validate_json((self.folder / "metrics.json").read_bytes()).model_dump()


class _GoldenFile(Strict):
    examples: list[GoldenExample]
    classes: list[str]


class _MetricsFile(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    split: str
    samples: int
    overall: dict[str, float]
