"""What a task is: one module that defines samples, their arrays, and the requests and answers of the service.

    source ─► values ─► decode ─► arrays ─► encode ─► arrays by split ─► network ─► answer
              (raw)     (no state)          (fitted)   (prepared)                   (JSON)

A `Task` is the stateless half and reads raw samples. Its `fit` returns the `Processor`, the fitted half, which is saved
in the package as processor.json and used by the service. Loss and evaluation are given by name, because serving has
neither torch nor the evaluation: `objective` is a class of `components.training.objectives`, `scorer` an object of
`components.evaluation` (or of any other `package.module:NAME`).

A task imports large libraries inside its methods, so importing a task costs nothing.
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
    RunOutputs = Callable[[str, Arrays, Sequence[str]], Arrays]  # the same, to the outputs of these names

EMBEDDING = "embedding"  # the output of a graph that is a sample as one vector
Values = Mapping[str, Any]  # a raw sample's fields: text is str, binary bytes, numbers ndarray float64, json any JSON
Prediction = dict[str, Any]  # one answer, as JSON
FieldKind = Literal["text", "binary", "numbers", "json"]


class Metric(NamedTuple):
    """A figure of the evaluation, for floors and the champion gate."""

    higher_is_better: bool
    description: str


class Example(NamedTuple):
    """A raw sample as a request: body, media type, suffix of a file, and the truth as text."""

    content: bytes
    media: str
    suffix: str
    truth: str


class RawSample(NamedTuple):
    """A raw sample in preparation: its fields without the payload field, and the arrays that `decode` made of it."""

    values: Values
    decoded: Arrays


class AnsweredFile(NamedTuple):
    """A prediction with a file: its media type, and the field of the prediction with the bytes in base64."""

    media: str
    field: str


class StreamedPart(NamedTuple):
    """A part of the answer to one sample, while the answer is computed.

    Args:
        text: the next characters of the answer's text, never a part of a character; the texts of all parts, one after
            the other, are the text of the prediction.
        tokens: number of tokens of the answer so far.
        prompt_tokens: number of tokens of the sample.
        prediction: the whole prediction, as `answer` gives it, with the reason of the end (`stopped`); None in all
            parts but the last.
    """

    text: str
    tokens: int
    prompt_tokens: int
    prediction: Prediction | None = None


class EndpointSchema(NamedTuple):
    """Requests and responses of the service's endpoint.

    Args:
        item, items: keys of a JSON request with one sample and with several samples.
        media: media types of bodies that are one sample; `modelyard predict` sends the first.
        schema: JSON schema of one sample in a JSON request.
        others: further keys of a JSON request for several samples, with the schema of the whole value.
        prediction: JSON schema of one prediction.
        parameters: parameters of a request beside the samples (`parameters: {...}`), or None.
        form: kind of input on the service's page.
        summary: what the endpoint does.
        file: a request for one sample that accepts this media type and no JSON is answered with the file.
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
    """The fitted half of a task. Depends on numpy and the task's preprocessing, not on training libraries.

    Optional: `after_training(run, validation) -> Processor`, the processor of the package after the training, with what
    is chosen on the validation split (a `StoredSplit`); `run` runs the graphs of the trained network.

    Optional: `stream(run, sample, classes, parameters)`, a generator of `StreamedPart`: the answer to one sample in
    parts; arguments as of `answer`. The last part has the prediction; a closed generator computes nothing more.
    `count_tokens(sample) -> int`, the number of tokens of a sample that `read` made, without added ones.

    Optional: `embed(run, samples) -> NDArray[float32]`, one vector (N, D) for each sample, of a package whose graph has
    the output `embedding`; `run(graph, feed, names)` gives outputs that are in an answer only on request.

    Optional: `describe_prepared(batch)`, those of the task's `prepared_columns` that depend on what was fitted.
    """

    def input_spec(self) -> InputSpec:
        """What the network takes."""

    def output_spec(self) -> OutputSpec:
        """What the network gives."""

    def arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays of a prepared split: inputs and targets."""

    def inputs(self) -> tuple[str, ...]:
        """Names of the network's arguments in a batch, in order; the name of lengths is `<array>_lengths`."""

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Prepared samples: all arrays except those of layout window.

        Raises:
            SampleError: a sample does not fit; `where` has its position.
        """

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """The input arrays of one item of a request: of a body (bytes), or of a value of a JSON request.

        Raises:
            SampleError: the item does not fit the task.
        """

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of a JSON request with exactly one of the keys of `endpoint` (and parameters).

        Raises:
            SampleError: a value has the wrong type.
        """

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """One prediction for each sample; samples may have unequal lengths.

        Args:
            run: runs a graph of the package; most packages have one graph, `model`.
            classes: names of the classes in the order of the graph's outputs; empty for a task without classes.
        """

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Requests and responses of the service."""

    def save(self, folder: Path) -> None:
        """Write processor.json (and tokenizer.json) into a folder."""


class ValidationMetric(NamedTuple):
    """The figure in a training's history that says how good it is: `validation/<name>`."""

    name: str
    higher_is_better: bool


LOSS = ValidationMetric("loss", higher_is_better=False)
LOWER_IS_BETTER = ("loss", "mse", "wer")  # of the figures that `train.keep_metric` may name


def validation_metric(task: Task, keep_metric: str | None = None) -> ValidationMetric:
    """The figure of a task that epochs are kept by: its `validation_metric`, else the loss, which all have.

    Args:
        keep_metric: `train.keep_metric` of the pipeline, which replaces it.
    """
    if keep_metric is not None:
        return ValidationMetric(keep_metric, keep_metric not in LOWER_IS_BETTER)
    own: ValidationMetric = getattr(task, "validation_metric", LOSS)
    return own


class Task(Protocol):
    """The stateless half of a task.

    Args:
        name: name of the task in dataset.yaml and pipeline files.
        fields: fields of raw samples besides id and split, with their kinds.
        payload_field: large field that `decode` turns into arrays and that is dropped afterwards ("" for none).
        settings: class of the section `input:` of dataset.yaml.
        objective: `package.module:Class`, the loss (see components/training/objectives).
        validation_metric: where the objective selects epochs by another figure than the loss (`validation_metric`).
        scorer: `package.module:NAME`, the evaluation (see components/evaluation/scorer.py).
        metrics: figures of the scorer for gates; the champion gate compares the first by default.
        input_type, output_type: classes of the network's input and output spec (contracts/shapes.py): the model of a
            pipeline must support the kinds of both.
        starting_model, family_models, draft_layout, draft_settings, draft_notes, draft_split, draft_model,
            draft_training, draft_candidates: defaults of the task; see `TaskDefaults`, which most tasks inherit.
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

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]: ...

    def draft_split(self, profile: SourceProfile) -> dict[str, Any]: ...

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]: ...

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]: ...

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]: ...

    def content(self, values: Values) -> bytes:
        """The content of a raw sample without its label, for its digest; samples of equal content are duplicates."""

    def labels(self, values: Values) -> list[str]:
        """The labels of a raw sample; [] for a task without labels."""

    def strata(self, values: Values) -> Sequence[str]:
        """The classes of a raw sample whose shares are equal in drawn splits; none for a task without classes."""

    def describe(self, values: Values) -> dict[str, object]:
        """`raw_columns` of one sample, readable or not; never raises for a bad sample.

        A task whose `describe_by_settings` is true has a second parameter: the settings, None before they are chosen.
        """

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """`prepared_columns` of a batch of prepared samples (padded, with lengths), but for those of the processor."""

    def preview(self, values: Values) -> bytes | str:
        """The sample in a report: an image file or a text."""

    def decode(self, values: Values, settings: Any) -> Arrays:
        """Arrays of the payload field, without fitted state; {} if there is nothing to decode.

        Raises:
            SampleError: the field cannot be decoded.
        """

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The key of a sample in the draw of splits: samples of equal keys are in the same split."""

    def fit(self, settings: Any, train: Iterator[RawSample], classes: Sequence[str]) -> Processor:
        """Fit on the train split. `train` is an iterator that is read once."""

    def example(self, values: Values) -> Example:
        """A raw sample as a request."""

    def load(self, folder: Path) -> Processor:
        """The processor that `save` wrote.

        Raises:
            CorruptArtifactError: the files cannot be read.
        """

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether two predictions are the same for a person."""
