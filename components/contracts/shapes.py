"""What goes into a network and what comes out of it: all that an architecture has to know of its task.

A new kind of input or output is a subclass of `InputSpec` or `OutputSpec`, in this module or outside of this package.

Legend: N batch, H height, W width, C channels, T length, K classes, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from components.core.strict import Strict


class InputSpec(Strict):
    """Base of what a network takes.

    Args:
        kind: name of the kind; an architecture lists the kinds that it takes.
        channels_last: whether the network runs in PyTorch's channels-last memory format.
        augmentations: the settings of `train.augment` that may change the input.
        lossy: whether different samples may become equal inputs, as texts with rare words do.
    """

    kind: ClassVar[str]
    channels_last: ClassVar[bool] = False
    augmentations: ClassVar[tuple[str, ...]] = ()
    lossy: ClassVar[bool] = False


# Of `train.augment`: what boxes and masks can follow, or need not; what alters images alone; what mixes targets.
MOVING_IMAGES = ("flip", "flip_vertical", "shift_pixels", "resized_crop", "color_jitter")
ALTERING_IMAGES = ("erase", "rand_augment")
MIXING = ("mixup", "cutmix")
AUGMENTATIONS = (
    *MOVING_IMAGES, "rotate_degrees", *ALTERING_IMAGES, *MIXING,
    "spec_augment", "noise", "scale", "time_warp", "window_slice", "word_dropout",
)  # fmt: skip

LOSS_SETTINGS = ("label_smoothing", "class_weights", "forecast_loss", "calibrate", "sampling")  # of `train:`


class OutputSpec(Strict):
    """Base of what a network gives.

    Args:
        kind: name of the kind; an architecture lists the kinds that it gives.
        graph_builder: `package.module:function` that makes the graphs for serving (components/training/graphs); a name,
            because the function imports torch.
        min_labels: number of different labels that a dataset needs at least.
        problem_type: transformers' word for the loss on these outputs, in an export to its layout.
        loss_settings: the settings of `LOSS_SETTINGS` that the loss on these outputs reads; a pipeline that sets others
            is refused. An output from outside the package may read all.
        augmentations: the settings of `train.augment` that the objective of these outputs applies, where the input
            allows them.
        weighs_samples: whether the loss has weights of samples (`weight` in the layout of a table).
        keep_metrics: figures of the validation that `train.keep_metric` may name, the default first; None: not known.
    """

    kind: ClassVar[str]
    graph_builder: ClassVar[str]
    min_labels: ClassVar[int] = 0
    problem_type: ClassVar[str | None] = None
    loss_settings: ClassVar[tuple[str, ...]] = LOSS_SETTINGS
    augmentations: ClassVar[tuple[str, ...]] = AUGMENTATIONS
    keep_metrics: ClassVar[tuple[str, ...] | None] = None
    weighs_samples: ClassVar[bool] = False


Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class ImageFraming(Strict):
    """How image files are fitted into height and width (`input:` of dataset.yaml).

    Args:
        resize: stretched, cropped, or padded.
        shortest_edge: the shorter side before the crop; None: no more than necessary is cropped.
        resample: filter of the resize.
        stated: whether these are kept where pretrained weights were trained with others.
    """

    resize: Literal["stretch", "crop", "pad"] = "stretch"
    shortest_edge: int | None = None
    resample: Resample = "bilinear"
    stated: bool = False


class ImageInput(InputSpec):
    """uint8 images (N, H, W, C); mean and std of each channel, in units of 0..1.

    Args:
        normalise: where mean and std are from: `auto`, the train split, and pretrained weights that say their own
            replace them; `dataset`, the train split in any case; `stated` in dataset.yaml.
        framing: how files became arrays; None: not known, as of arrays without files.
    """

    kind: ClassVar[str] = "image"
    channels_last: ClassVar[bool] = True
    augmentations: ClassVar[tuple[str, ...]] = (*MOVING_IMAGES, "rotate_degrees", *ALTERING_IMAGES, *MIXING)

    height: int
    width: int
    channels: int
    mean: list[float]
    std: list[float]
    normalise: Literal["auto", "dataset", "stated"] = "auto"
    framing: ImageFraming | None = None


class TokensInput(InputSpec):
    """Token numbers int64 (N, T), padded with `pad`, and lengths int64 (N,); T is at most `max_length`.

    Args:
        mask: number of the token that word dropout puts in place of others; None: there is none.
        special: numbers of tokens that word dropout keeps: [CLS], [SEP] and the like.
    """

    kind: ClassVar[str] = "tokens"
    augmentations: ClassVar[tuple[str, ...]] = ("word_dropout",)
    lossy: ClassVar[bool] = True

    vocabulary: int
    max_length: int
    pad: int = 0
    mask: int | None = None
    special: tuple[int, ...] = ()


class SeriesInput(InputSpec):
    """Values float32 (N, T, C), padded with 0, and lengths int64 (N,); T is at most `max_length`.

    Args:
        mean, std: of each channel over the train split; the network standardises with them.
        fixed: whether every series has exactly `max_length` steps.
        instance_norm: whether the network also removes the mean and standard deviation of each series.
    """

    kind: ClassVar[str] = "series"
    augmentations: ClassVar[tuple[str, ...]] = ("mixup", "noise", "scale", "time_warp", "window_slice")

    channels: int
    max_length: int
    mean: list[float]
    std: list[float]
    fixed: bool = False
    instance_norm: bool = False


class SpectrogramInput(SeriesInput):
    """Frames of log-mel bands as a series; the bands are its channels."""

    augmentations: ClassVar[tuple[str, ...]] = ("mixup", "spec_augment", "noise", "time_warp", "window_slice")


NoiseSchedule = Literal["cosine", "linear"]


class NoiseInput(InputSpec):
    """For diffusion: noisy images of the sizes of `ImageInput`, their steps and their classes, int64 (N,) each.

    Args:
        schedule, steps: the noise schedule (`preprocessing.noise_schedule`).
        classes: K; number K is a further class, of images without their class.
    """

    kind: ClassVar[str] = "noise"
    channels_last: ClassVar[bool] = True
    augmentations: ClassVar[tuple[str, ...]] = ("flip", "flip_vertical")

    height: int
    width: int
    channels: int
    classes: int
    schedule: NoiseSchedule = "cosine"
    steps: int = 1000


class ClassesOutput(OutputSpec):
    """Logits (N, K)."""

    kind: ClassVar[str] = "classes"
    graph_builder: ClassVar[str] = "components.training.graphs.classification:of_samples"
    problem_type: ClassVar[str | None] = "single_label_classification"
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing", "class_weights", "calibrate", "sampling")
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("accuracy", "macro_f1", "loss")
    weighs_samples: ClassVar[bool] = True
    min_labels: ClassVar[int] = 2

    classes: int


class TokenClassesOutput(OutputSpec):
    """Logits (N, T, K), one row for each token."""

    kind: ClassVar[str] = "token-classes"
    graph_builder: ClassVar[str] = "components.training.graphs.classification:of_tokens"
    augmentations: ClassVar[tuple[str, ...]] = ("word_dropout",)
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing", "class_weights", "calibrate")
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("entity_f1", "accuracy", "loss")

    classes: int


class ForecastOutput(OutputSpec):
    """Values (N, horizon, C, Q): quantiles of each channel at each step ahead; Q is 1 for a point forecast."""

    kind: ClassVar[str] = "forecast"
    graph_builder: ClassVar[str] = "components.training.graphs.forecasting:graphs"
    augmentations: ClassVar[tuple[str, ...]] = ("noise", "scale")
    loss_settings: ClassVar[tuple[str, ...]] = ("forecast_loss",)
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("mse", "loss")

    horizon: int
    channels: int
    quantiles: list[float]


class NextTokenOutput(OutputSpec):
    """Logits (N, T, V) of the token that follows each token; the vocabulary is that of the input."""

    kind: ClassVar[str] = "next-token"
    graph_builder: ClassVar[str] = "components.training.graphs.next_token:graphs"
    augmentations: ClassVar[tuple[str, ...]] = ()
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing",)
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("loss", "accuracy")

    vocabulary: int


class TextOutput(OutputSpec):
    """For translation: logits (N, T, V) of the next token of the target, from the source and the target so far."""

    kind: ClassVar[str] = "text"
    graph_builder: ClassVar[str] = "components.training.graphs.translation:graphs"
    augmentations: ClassVar[tuple[str, ...]] = ()
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing",)
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("bleu", "accuracy", "loss")

    vocabulary: int
    max_length: int
    begin: int
    end: int
    pad: int = 0


class TranscriptOutput(OutputSpec):
    """For speech: logits (N, T, V) of the next token of what is said, from a sound and the text so far.

    Args:
        max_length: largest number of tokens of a text, with those that begin and end it.
        begin: tokens that every text begins with.
        end: token that ends a text.
    """

    kind: ClassVar[str] = "transcript"
    graph_builder: ClassVar[str] = "components.training.graphs.transcription:graphs"
    augmentations: ClassVar[tuple[str, ...]] = ()
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing",)
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("wer", "loss")

    vocabulary: int
    max_length: int
    begin: tuple[int, ...]
    end: int
    pad: int = 0


class BoxesOutput(OutputSpec):
    """For detection: boxes and scores, after the `decode` method of the network; `forward` returns what it likes."""

    kind: ClassVar[str] = "boxes"
    graph_builder: ClassVar[str] = "components.training.graphs.detection:graphs"
    augmentations: ClassVar[tuple[str, ...]] = MOVING_IMAGES
    loss_settings: ClassVar[tuple[str, ...]] = ()
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("map_50", "loss")

    classes: int


class NoiseOutput(OutputSpec):
    """The noise in an image, of the image's shape, float32 (N, C, H, W)."""

    kind: ClassVar[str] = "noise"
    graph_builder: ClassVar[str] = "components.training.graphs.diffusion:graphs"
    augmentations: ClassVar[tuple[str, ...]] = ("flip", "flip_vertical")
    loss_settings: ClassVar[tuple[str, ...]] = ("sampling",)
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("loss",)


class TableInput(InputSpec):
    """A row of features: numbers float32 (N, F), already scaled, and categories int64 (N, G).

    A network gets only the arrays that have columns: numbers, categories, or both in this order. Category 0 is one that
    train does not know, category 1 a missing one.

    Args:
        numbers: F.
        cardinalities: for each column of categories, how many there are, with the unknown and the missing one.
    """

    kind: ClassVar[str] = "table"
    lossy: ClassVar[bool] = True

    numbers: int
    cardinalities: list[int]


class ValuesOutput(OutputSpec):
    """One number (N, 1): (value - mean) / std.

    Args:
        mean, std: of the target over the train split, in its own units.
    """

    kind: ClassVar[str] = "value"
    graph_builder: ClassVar[str] = "components.training.graphs.value:graphs"
    augmentations: ClassVar[tuple[str, ...]] = tuple(name for name in AUGMENTATIONS if name != "cutmix")
    problem_type: ClassVar[str | None] = "regression"
    loss_settings: ClassVar[tuple[str, ...]] = ()
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("mse", "loss")
    weighs_samples: ClassVar[bool] = True

    mean: float
    std: float

    @property
    def classes(self) -> int:
        """Size of the last layer, under the name that networks read: a number takes one output, as one class does."""
        return 1


class LabelsOutput(ClassesOutput):
    """Logits (N, K), one decision for each label: a sample has any number of labels. Every architecture that gives
    classes gives labels."""

    kind: ClassVar[str] = "labels"
    graph_builder: ClassVar[str] = "components.training.graphs.classification:of_labels"
    problem_type: ClassVar[str | None] = "multi_label_classification"
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing", "class_weights", "calibrate")
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("macro_f1", "loss")
    min_labels: ClassVar[int] = 1


class MaskOutput(OutputSpec):
    """Logits (N, K, H, W), one row of K for each pixel."""

    kind: ClassVar[str] = "mask"
    graph_builder: ClassVar[str] = "components.training.graphs.segmentation:graphs"
    augmentations: ClassVar[tuple[str, ...]] = (*MOVING_IMAGES, "rotate_degrees")
    loss_settings: ClassVar[tuple[str, ...]] = ("label_smoothing", "class_weights")
    keep_metrics: ClassVar[tuple[str, ...] | None] = ("mean_iou", "loss")
    min_labels: ClassVar[int] = 2

    classes: int


def usable_augmentations(input_type: type[InputSpec], output_type: type[OutputSpec]) -> list[str]:
    """The settings of `train.augment` that both the input and the output of a network allow."""
    return [name for name in input_type.augmentations if name in output_type.augmentations]
