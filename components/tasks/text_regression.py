"""Regression on texts: a text -> one number. Tokens and requests are those of text classification.

Legend: N samples, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.tasks import items, regression
from components.tasks.regression import OneNumber, Target
from components.tasks.task import EndpointSchema, Example, FieldKind, RawSample, Values
from components.tasks.text_classification import (
    TextClassification,
    TextClassificationProcessor,
    TextClassificationSettings,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays


class TextRegressionProcessor(  # type: ignore[misc]  # it gives a number where its base gives classes
    regression.NumberProcessor, TextClassificationProcessor
):
    """The tokenizer and the statistics of the target."""

    classes: list[str] = Field(default=[])

    def input_arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,)."""
        return (ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad),)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers and scaled targets."""
        from components.preprocessing import text

        texts = items.each(lambda raw: text.checked(raw.values["text"]), samples)
        return self.with_targets([{"tokens": one} for one in self.tokenizer.encode(texts, self.max_length)], samples)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Texts to numbers."""
        wire = super().endpoint(classes)
        return wire._replace(prediction=regression.schema(), summary="Estimate a number from texts")


class TextRegression(OneNumber, TextClassification):
    """The half without state."""

    name: ClassVar[str] = "text-regression"
    fields: ClassVar[dict[str, FieldKind]] = {"text": "text", "target": "numbers"}
    raw_columns: ClassVar[tuple[str, ...]] = ("target", *TextClassification.raw_columns)
    prepared_columns: ClassVar[tuple[str, ...]] = ("target", "tokens", "largest_token", "unknown_share")
    target_columns: ClassVar[frozenset[str]] = frozenset({"target"})

    def describe(self, values: Values) -> dict[str, object]:
        """The target, and facts about the text."""
        return {"target": float(values["target"][0]), **super().describe(values)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """The scaled target, number of tokens, largest token number."""
        described = super().describe_prepared({**batch, "labels": batch["target"][:, 0]})
        return {"target": described.pop("class_number"), **described}

    def fit(
        self, settings: TextClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TextRegressionProcessor:
        """Train the tokenizer; mean and standard deviation of the target."""
        targets: list[float] = []
        fitted = super().fit(settings, regression.collecting(train, targets), [])
        return TextRegressionProcessor.of(fitted.tokenizer, **fitted.model_dump(), target=Target.fit(targets))

    def example(self, values: Values) -> Example:
        """The text in UTF-8."""
        return super().example({**values, "label": regression.truth_of(values)})

    def load(self, folder: Path) -> TextRegressionProcessor:
        """Read processor.json and tokenizer.json."""
        return TextRegressionProcessor.load(folder)


TASK = TextRegression()
