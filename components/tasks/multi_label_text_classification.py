"""Multi-label classification of texts: a text -> any number of K labels.

Legend: N samples, T tokens, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.core.strict import Strict
from components.tasks import items, multi_label
from components.tasks.multi_label import LabelsProcessor, ManyLabels, ThresholdSettings
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values
from components.tasks.text_classification import (
    TextClassification,
    TextClassificationProcessor,
    TextClassificationSettings,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class MultiLabelTextSettings(TextClassificationSettings, ThresholdSettings):
    """How texts become token numbers, and scores become labels."""


class MultiLabelTextProcessor(LabelsProcessor, TextClassificationProcessor):
    """The tokenizer, the labels and their thresholds."""

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,), `labels` bool (K,)."""
        tokens = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad)
        return tokens, self.label_array()

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers and labels."""
        from components.preprocessing import text

        texts = items.each(lambda raw: text.checked(raw.values["text"]), samples)
        labels = items.each(lambda raw: self.multi_hot(raw.values["labels"]), samples)
        tokens = self.tokenizer.encode(texts, self.max_length)
        return [{"tokens": numbers, "labels": row} for numbers, row in zip(tokens, labels, strict=True)]

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The labels, and the score of each label."""
        from components.preprocessing.batch import collate

        feed = collate(self.arrays(), samples, ("tokens",))
        return self.predictions(run("model", feed)["probabilities"])

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Texts to labels."""
        prediction = multi_label.schema(classes)
        return super().endpoint(classes)._replace(prediction=prediction, summary="Label texts")


class MultiLabelTextClassification(ManyLabels, TextClassification):
    """The half without state."""

    name: ClassVar[str] = "multi-label-text-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"text": "text", "labels": "json"}
    settings: ClassVar[type[Strict]] = MultiLabelTextSettings
    raw_columns: ClassVar[tuple[str, ...]] = (*TextClassification.raw_columns, "labels")
    prepared_columns: ClassVar[tuple[str, ...]] = ("labels", "tokens", "largest_token", "unknown_share")
    target_columns: ClassVar[frozenset[str]] = frozenset({"labels"})

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the text, and the number of labels."""
        return {**super().describe(values), **multi_label.describe(values)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of labels, number of tokens, largest token number."""
        facts = super().describe_prepared(batch)
        del facts["class_number"]
        return {"labels": batch["labels"].sum(axis=1), **facts}

    def fit(  # type: ignore[override]  # the processor is of another class
        self, settings: MultiLabelTextSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> MultiLabelTextProcessor:
        """Train the tokenizer."""
        from components.preprocessing.text import Tokenizer

        tokenizer = Tokenizer.fit(settings.tokenizer, (raw.values["text"] for raw in train))
        state = {"max_length": settings.max_length, "thresholds": settings.thresholds, "classes": list(classes)}
        return MultiLabelTextProcessor.of(tokenizer, **state)

    def example(self, values: Values) -> Example:
        """The text in UTF-8."""
        return Example(values["text"].encode(), "text/plain", ".txt", multi_label.truth(values))

    def load(self, folder: Path) -> MultiLabelTextProcessor:
        """Read processor.json and tokenizer.json."""
        return MultiLabelTextProcessor.load(folder)


TASK = MultiLabelTextClassification()
