"""Text classification: a text -> one of K classes.

Legend: N samples, T tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, InputSpec, TokensInput
from components.core.strict import Strict
from components.preprocessing.tokenizer_spec import TokenizerSpec, WordLevel
from components.tasks import classification, items, pretrained_text
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values
from components.tasks.task_defaults import TRAIN_SHARE, Layout, SourceProfile, high, power_of_two
from components.tasks.tokenized import Tokenized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class TextClassificationSettings(Strict):
    """How texts become token numbers.

    Args:
        max_length: longer texts are truncated to so many tokens.
    """

    tokenizer: TokenizerSpec = WordLevel()
    max_length: int = Field(default=256, ge=2, le=8192)


class TextClassificationProcessor(Tokenized):
    """The tokenizer, and the names of the classes in the order of the label numbers."""

    classes: list[str]

    def output_spec(self) -> ClassesOutput:
        """Logits (N, K)."""
        return ClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,), `labels` int64 ()."""
        tokens = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad)
        return tokens, classification.LABELS

    def inputs(self) -> tuple[str, ...]:
        """The tokens and their lengths."""
        return "tokens", "tokens_lengths"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers and label numbers."""
        import numpy as np

        from components.preprocessing import text

        texts = items.each(lambda raw: text.checked(raw.values["text"]), samples)
        labels = items.each(lambda raw: classification.number(raw.values["label"], self.classes), samples)
        tokens = self.tokenizer.encode(texts, self.max_length)
        return [
            {"tokens": numbers, "labels": np.asarray(label, np.int64)}
            for numbers, label in zip(tokens, labels, strict=True)
        ]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A text, or its bytes in UTF-8."""
        from components.preprocessing import text

        return {"tokens": self.tokenizer.encode([text.read(item)], self.max_length)[0]}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `text` or `texts`."""
        return items.of(document, "text", "texts")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class, and the probability of each class."""
        from components.preprocessing.batch import collate

        feed = collate(self.arrays(), samples, ("tokens",))
        return classification.predictions(run("model", feed)["probabilities"], classes)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Texts to labels."""
        return EndpointSchema(
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
    fields: ClassVar[dict[str, FieldKind]] = {"text": "text", "label": "text"}
    payload_field: ClassVar[str] = ""
    item_field: ClassVar[str] = "text"
    settings: ClassVar[type[Strict]] = TextClassificationSettings
    input_type: ClassVar[type[InputSpec]] = TokensInput
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    raw_columns: ClassVar[tuple[str, ...]] = ("characters", "words", "empty", "control_characters", "valid")
    prepared_columns: ClassVar[tuple[str, ...]] = ("class_number", "tokens", "largest_token", "unknown_share")
    starting_model: ClassVar[dict[str, Any]] = {"family": "cnn", "name": "kim"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "kim"},
        "rnn": {"name": "gru", "bidirectional": True, "pooling": "max"},
        "transformer": {"name": "encoder"},
        "state-space": {"name": "mamba"},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The tokenizer of a pretrained encoder for few enough English texts; a length for nearly all texts."""
        pretrained = pretrained_text.settings(profile.texts, round(TRAIN_SHARE * profile.samples))
        return pretrained or {"max_length": power_of_two(1.3 * high(profile, "words"), 16, 512)}

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """That the draft begins with a pretrained encoder, and how to do without."""
        return pretrained_text.note(settings)

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The pretrained encoder where its tokenizer was drafted, else a small network."""
        chosen = pretrained_text.is_chosen(settings)
        return dict(pretrained_text.MODEL) if chosen else super().draft_model(samples, settings)

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A fine-tuning, or the training of a small network."""
        chosen = pretrained_text.is_chosen(settings)
        return pretrained_text.training(samples, settings) if chosen else super().draft_training(samples, settings)

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The drafted model and small networks; state-space models are too slow on a CPU for a trial."""
        drafted = {"model": self.draft_model(samples, settings), "train": self.draft_training(samples, settings)}
        small = super().draft_training(samples, settings)
        families = [{"family": family, **model} for family, model in self.family_models.items()]
        others = [model for model in families if model["name"] not in (drafted["model"]["name"], "mamba")]
        return [drafted, *({"model": model, "train": small} for model in others)]

    def content(self, values: Values) -> bytes:
        """The text, normalised."""
        from components.preprocessing import text

        return text.normal(values["text"])

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the text."""
        from components.preprocessing import text

        return text.describe(values["text"])

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Class number, number of tokens, largest token number."""
        return {
            "class_number": batch["labels"],
            "tokens": batch["tokens_lengths"],
            "largest_token": batch["tokens"].max(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """The text."""
        return str(values["text"])

    def decode(self, values: Values, settings: TextClassificationSettings) -> Arrays:
        """Nothing to decode: tokens depend on the train split."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The text, normalised."""
        return self.content(values)

    def fit(
        self, settings: TextClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TextClassificationProcessor:
        """Train the tokenizer."""
        from components.preprocessing.text import Tokenizer

        tokenizer = Tokenizer.fit(settings.tokenizer, (raw.values["text"] for raw in train))
        return TextClassificationProcessor.of(tokenizer, max_length=settings.max_length, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The text in UTF-8."""
        return Example(values["text"].encode(), "text/plain", ".txt", values["label"])

    def load(self, folder: Path) -> TextClassificationProcessor:
        """Read processor.json and tokenizer.json."""
        return TextClassificationProcessor.load(folder)


TASK = TextClassification()
