"""What a task is: one module that says what a sample is, how it becomes arrays, and what the service takes and gives.

    source ─► values ─► decode ─► arrays ─► encode ─► arrays by split ─► network ─► answer
              (raw)     (no state)          (fitted)   (prepared)                   (JSON)

A `Task` is the half without state: it knows raw samples. Its `fit` makes the `Processor`: the fitted half, which
travels in the package as processor.json and serves. The loss and the metrics are named, since torch and the evaluation
are not for those who only serve: `objective` is a class of `components.training.objectives`, `scorer` a module of
`components.evaluation` (or any `package.module:NAME`).

Importing a task costs nothing: what is heavy is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.strict import Strict
from components.tasks.task_defaults import Layout, SourceProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]  # of one sample, by name; or of a batch
    RunGraph = Callable[[str, Arrays], Arrays]  # a graph's name and its feed to its outputs, all finite

Values = Mapping[str, Any]  # a raw sample's fields: text is str, binary bytes, numbers ndarray float64, json any JSON
Prediction = dict[str, Any]  # one answer, as JSON
FieldKind = Literal["text", "binary", "numbers", "json"]


class Metric(NamedTuple):
    """A figure that floors and the champion gate may ask for."""

    higher_is_better: bool
    description: str


class Example(NamedTuple):
    """A raw sample as a client would send it: the body of a request, its media type, a file's suffix, and the truth."""

    content: bytes
    media: str
    suffix: str
    truth: str


class RawSample(NamedTuple):
    """A raw sample on its way into arrays: its fields but the heavy one, and what `decode` made of that."""

    values: Values
    decoded: Arrays


class AnsweredFile(NamedTuple):
    """An answer that is a file: its media type, and the field of the prediction that holds its bytes in base64."""

    media: str
    field: str


class EndpointSchema(NamedTuple):
    """What the service takes and gives.

    Args:
        item, items: keys of a JSON request with one and with several samples.
        media: media types whose whole body is one sample; the first is what `modelyard predict` sends.
        schema: JSON schema of one sample in a JSON request.
        others: further keys of a JSON request that hold several samples, with the schema of the whole value.
        prediction: JSON schema of one answer.
        parameters: what a request may set beside the samples (`parameters: {...}`), or None.
        form: how the service's page asks for a sample.
        summary: what the endpoint does, in words.
        file: whoever asks about one sample and accepts this media type, and no JSON, gets the file itself.
    """

    item: str
    items: str
    media: tuple[str, ...]
    schema: dict[str, Any]
    prediction: dict[str, Any]
    form: Literal["image", "text", "sound", "json"]
    summary: str
    others: Mapping[str, dict[str, Any]] = {}
    parameters: type[Strict] | None = None
    file: AnsweredFile | None = None


class Processor(Protocol):
    """The fitted half of a task. Needs numpy and what its task's preprocessing needs, nothing that trains."""

    def input_spec(self) -> InputSpec:
        """What the network gets."""

    def output_spec(self) -> OutputSpec:
        """What the network gives."""

    def arrays(self) -> tuple[ArraySpec, ...]:
        """What a prepared split holds: inputs and targets."""

    def inputs(self) -> tuple[str, ...]:
        """The network's arguments by their names in a batch, in order; lengths are named `<array>_lengths`."""

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Prepared samples: every array that is stored by itself (not those of layout window).

        Raises:
            SampleError: one does not fit; `where` says which by its position.
        """

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """One item of a request to the input arrays: a whole body (bytes), or a value of a JSON request.

        Raises:
            SampleError: it is not what the task takes.
        """

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of a JSON request, which holds exactly one of the keys that `endpoint` names (and parameters).

        Raises:
            SampleError: a value is of the wrong type.
        """

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """One prediction a sample; samples may be of unequal lengths.

        Args:
            run: runs a graph of the package (there is one named `model` unless the task's network has others).
            classes: names of the classes in the order of the graph's outputs; empty where there are none.
        """

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """What the service takes and gives."""

    def save(self, folder: Path) -> None:
        """Write processor.json (and tokenizer.json) into a folder."""


class Task(Protocol):
    """The half of a task without state.

    Args:
        name: as dataset.yaml and pipeline files name it.
        fields: columns of raw samples beside id and split, with their kinds.
        payload_field: the field that `decode` reads and that is dropped afterwards ("" for none).
        settings: the section `input:` of dataset.yaml.
        objective: `package.module:Class`, the loss (see components/training/objectives).
        scorer: `package.module:NAME`, the evaluation (see components/evaluation/scorer.py).
        metrics: figures that the scorer computes and gates may ask for; the first is the one that a pipeline's champion
            gate compares unless it says another.
        input_type, output_type: classes of the network's input and output spec (contracts/shapes.py): the model of a
            pipeline must support the kinds of both.
        starting_model, family_models, draft_layout, draft_settings, draft_split, draft_training: defaults of the task;
            see `TaskDefaults`, which most tasks inherit.
        libraries: distributions that a bundle needs beside those of every bundle.
        raw_columns, prepared_columns: columns that `describe` and `describe_prepared` add to the tables that
            expectations check.
    """

    name: str
    fields: Mapping[str, FieldKind]
    payload_field: str
    settings: type[Strict]
    objective: str
    scorer: str
    metrics: Mapping[str, Metric]
    input_type: type[InputSpec]
    output_type: type[OutputSpec]
    libraries: tuple[str, ...]
    raw_columns: tuple[str, ...]
    prepared_columns: tuple[str, ...]

    @property
    def starting_model(self) -> Mapping[str, Any]: ...

    @property
    def family_models(self) -> Mapping[str, Mapping[str, Any]]: ...

    def draft_layout(self, layout: Layout) -> dict[str, Any]: ...

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]: ...

    def draft_split(self, profile: SourceProfile) -> dict[str, Any]: ...

    def draft_training(self, samples: int) -> dict[str, Any]: ...

    def content(self, values: Values) -> bytes:
        """What a raw sample's digest is taken of: its content without its label. Equal content is a twin."""

    def labels(self, values: Values) -> list[str]:
        """The labels that occur in a raw sample; [] where the task has none."""

    def stratum(self, values: Values) -> str:
        """What the draw of splits is stratified by; "" for all alike."""

    def describe(self, values: Values) -> dict[str, object]:
        """`raw_columns` of one sample, readable or not: it never raises for a bad sample, it says so in the row."""

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """`prepared_columns` of a batch of prepared samples (padded, with lengths)."""

    def preview(self, values: Values) -> bytes | str:
        """A sample for people, in a report: an image file or text."""

    def decode(self, values: Values, settings: Any) -> Arrays:
        """The heavy field as arrays, without any fitted state; {} where there is nothing to decode.

        Raises:
            SampleError: it cannot be decoded.
        """

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """What a sample's place in the draw of splits depends on: samples of equal keys stay together."""

    def fit(self, settings: Any, train: Iterator[RawSample], classes: Sequence[str]) -> Processor:
        """Fit on the train split alone. `train` is read once, sample by sample."""

    def example(self, values: Values) -> Example:
        """A raw sample as a client would send it."""

    def load(self, folder: Path) -> Processor:
        """The processor that `save` wrote.

        Raises:
            CorruptArtifactError: it cannot be read.
        """

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether two models gave the same answer, as people would see it."""
