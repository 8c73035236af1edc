"""Common parts of the tasks that classify series or sounds: the processor, except for reading items.

Legend: N samples, T steps, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.core.strict import Strict
from components.tasks import classification, items
from components.tasks.processor import BaseProcessor
from components.tasks.task import Prediction, RawSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class SeriesClassifier(BaseProcessor):
    """Statistics of the train split and the classes.

    Args:
        mean, std: of each channel; the network standardises with them.
    """

    mean: list[float]
    std: list[float]
    classes: list[str]

    def shaped(self, steps: int, *, fixed: bool, instance_norm: bool = False) -> SeriesInput:
        """The input spec of series (N, T, C) and their lengths (N,); T is at most `steps`."""
        return SeriesInput(
            channels=len(self.mean),
            max_length=steps,
            mean=self.mean,
            std=self.std,
            fixed=fixed,
            instance_norm=instance_norm,
        )

    def output_spec(self) -> ClassesOutput:
        """Logits (N, K)."""
        return ClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`series` float32 (T, C), `labels` int64 ()."""
        series = ArraySpec(name="series", type="float32", shape=(len(self.mean),), layout="ragged")
        return series, classification.LABELS

    def inputs(self) -> tuple[str, ...]:
        """The series and their lengths."""
        return "series", "series_lengths"

    def labelled(self, series: Sequence[NDArray[Any]], samples: Sequence[RawSample]) -> list[Arrays]:
        """Series and label numbers."""
        import numpy as np

        labels = items.each(lambda raw: classification.number(raw.values["label"], self.classes), samples)
        return [
            {"series": values, "labels": np.asarray(label, np.int64)}
            for values, label in zip(series, labels, strict=True)
        ]

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class, and the probability of each class."""
        from components.preprocessing.batch import collate

        feed = collate(self.arrays(), samples, ("series",))
        return classification.predictions(run("model", feed)["probabilities"], classes)


def describe_prepared(batch: Arrays) -> dict[str, NDArray[Any]]:
    """Columns of a batch: class number, steps, minimum, maximum and mean value without padding."""
    import numpy as np

    series, lengths = batch["series"], batch["series_lengths"]  # (N, T, C), (N,)
    inside = (np.arange(series.shape[1]) < lengths[:, None])[..., None]  # (N, T, 1)
    counts = np.maximum(lengths, 1) * series.shape[2]
    return {
        "class_number": batch["labels"],
        "steps": lengths,
        "minimum": np.where(inside, series, np.inf).min(axis=(1, 2)),
        "maximum": np.where(inside, series, -np.inf).max(axis=(1, 2)),
        "mean": np.where(inside, series, 0).sum(axis=(1, 2), dtype=np.float64) / counts,
    }


PREPARED_COLUMNS = ("class_number", "steps", "minimum", "maximum", "mean")
