"""Text classification: a text -> one of K classes.

Legend: N samples, T tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput
from components.core.strict import Strict
from components.preprocessing.tokenizer_spec import TokenizerSpec, Words
from components.tasks import classification, items
from components.tasks.task import Example, Kind, Prediction, Raw, Values, Wire
from components.tasks.tokenized import Tokenized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, Run


class Settings(Strict):
    """How texts become token numbers.

    Args:
        longest: texts of more tokens are cut at their end.
    """

    tokenizer: TokenizerSpec = Words()
    longest: int = Field(default=256, ge=2, le=8192)


class Processor(Tokenized):
    """The tokenizer and the classes, as the labels number them."""

    classes: list[str]

    def wanted(self) -> ClassesOutput:
        """Logits (N, K)."""
        return ClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,), `labels` int64 ()."""
        tokens = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad)
        return tokens, classification.LABELS

    def inputs(self) -> tuple[str, ...]:
        """The tokens and how many."""
        return "tokens", "tokens_lengths"

    def encode(self, samples: Sequence[Raw]) -> list[Arrays]:
        """Token numbers with the numbers of their labels."""
        import numpy as np

        from components.preprocessing import text

        texts = items.each(lambda raw: text.checked(raw.values["text"]), samples)
        labels = items.each(lambda raw: classification.number(raw.values["label"], self.classes), samples)
        tokens = self.tokenizer.encode(texts, self.longest)
        return [
            {"tokens": found, "labels": np.asarray(label, np.int64)}
            for found, label in zip(tokens, labels, strict=True)
        ]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A text, or its bytes in UTF-8."""
        from components.preprocessing import text

        return {"tokens": self.tokenizer.encode([text.read(item)], self.longest)[0]}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """Of `text` or `texts`."""
        return items.of(document, "text", "texts")

    def answer(
        self, run: Run, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class and the probability of each."""
        from components.preprocessing.batch import collate

        feed = collate(self.arrays(), samples, ("tokens",))
        return classification.predictions(run("model", feed)["probabilities"], classes)

    def wire(self, classes: Sequence[str]) -> Wire:
        """Texts to labels."""
        return Wire(
            item="text",
            items="texts",
            media=("text/plain", "application/octet-stream"),
            schema={"type": "string", "description": "a text"},
            prediction=classification.schema(classes),
            form="text",
            summary="Classify texts",
        )


class TextClassification(classification.OneClass):
    """The half without state."""

    name: ClassVar[str] = "text-classification"
    fields: ClassVar[dict[str, Kind]] = {"text": "text", "label": "text"}
    heavy: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = Settings
    given_kind: ClassVar[str] = "tokens"
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    raw_columns: ClassVar[tuple[str, ...]] = ("characters", "words", "empty", "control_characters", "valid")
    prepared_columns: ClassVar[tuple[str, ...]] = ("class_number", "tokens", "largest_token")

    def content(self, values: Values) -> bytes:
        """The text, normalised."""
        from components.preprocessing import text

        return text.normal(values["text"])

    def look(self, values: Values) -> dict[str, object]:
        """Its length, and whether it is a text."""
        from components.preprocessing import text

        return text.look(values["text"])

    def look_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of the class, number of tokens, largest token number."""
        return {
            "class_number": batch["labels"],
            "tokens": batch["tokens_lengths"],
            "largest_token": batch["tokens"].max(axis=1),
        }

    def shown(self, values: Values) -> bytes | str:
        """The text."""
        return str(values["text"])

    def decode(self, values: Values, settings: Settings) -> Arrays:
        """Nothing: tokens depend on the train split."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The text, normalised."""
        return self.content(values)

    def fit(self, settings: Settings, train: Iterator[Raw], classes: Sequence[str]) -> Processor:
        """Train the tokenizer."""
        from components.preprocessing.text import Tokenizer

        tokenizer = Tokenizer.fit(settings.tokenizer, (raw.values["text"] for raw in train))
        return Processor.of(tokenizer, longest=settings.longest, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The text in UTF-8."""
        return Example(values["text"].encode(), "text/plain", ".txt", values["label"])

    def load(self, folder: Path) -> Processor:
        """Read processor.json and tokenizer.json."""
        return Processor.load(folder)


TASK = TextClassification()
