"""Token classification: a text -> spans with a label each (named entities).

Legend: N samples, T tokens, W words, K classes (tags).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec, TokenClassesOutput, TokensInput
from components.core.errors import SampleError
from components.core.strict import Strict
from components.preprocessing import spans
from components.preprocessing.tokenizer_spec import TokenizerSpec, WordLevel
from components.tasks import classification, items
from components.tasks.task import (
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    ValidationMetric,
    Values,
)
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults, high, power_of_two
from components.tasks.tokenized import Tokenized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class TokenClassificationSettings(Strict):
    """How words become token numbers.

    Args:
        max_length: longer samples are truncated to so many tokens; words after the cut are in no span, so that their
            entities are missed.
    """

    tokenizer: TokenizerSpec = WordLevel(lower=False)
    max_length: int = Field(default=128, ge=2, le=8192)


class TokenClassificationProcessor(Tokenized):
    """The tokenizer, and the names of the tags in the order of their numbers."""

    classes: list[str]

    def output_spec(self) -> TokenClassesOutput:
        """Logits (N, T, K)."""
        return TokenClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` and `tags`, int64 (T,). The first token of each word has the tag, all other tokens have -100.

        For the evaluation, of every word of the sample, also of words past `max_length`, int32 (W,): `word_tags`, the
        number of the tag, and `word_tokens`, the place of the word's first token, or -1 if the network does not read
        the word.
        """
        return (
            ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad),
            ArraySpec(name="tags", type="int64", shape=(), layout="ragged", pad=spans.IGNORED),
            ArraySpec(name="word_tags", type="int32", shape=(), layout="ragged", pad=spans.IGNORED, on_request=True),
            ArraySpec(name="word_tokens", type="int32", shape=(), layout="ragged", pad=-1, on_request=True),
        )

    def inputs(self) -> tuple[str, ...]:
        """The tokens and their lengths."""
        return "tokens", "tokens_lengths"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers and tag numbers, after `spans.repaired`."""
        import numpy as np

        numbers = items.each(lambda raw: self._numbers(raw.values), samples)
        splits = self.tokenizer.encode_words([raw.values["tokens"] for raw in samples], self.max_length)
        found: list[Arrays] = []
        for split, tags in zip(splits, numbers, strict=True):
            first = _first(split.words)
            placed = np.full(len(split.tokens), spans.IGNORED, np.int64)
            placed[first] = np.asarray(tags, np.int64)[split.words[first]]
            word_tokens = np.full(len(tags), -1, np.int32)
            word_tokens[split.words[first]] = first
            word_tags = np.asarray(tags, np.int32)
            found.append({"tokens": split.tokens, "tags": placed, "word_tags": word_tags, "word_tokens": word_tokens})
        return found

    def _numbers(self, values: Values) -> list[int]:
        if (wrong := _wrong(values)) is not None:
            raise SampleError("words and tags do not fit", got=wrong, expected="one tag a word: O, B-x or I-x")
        return [classification.number(tag, self.classes) for tag in spans.repaired(values["tags"])]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A text, its bytes in UTF-8, or a list of words.

        Besides `tokens`: `words` int64 (T,), the word of each token; `places` int64 (W, 2), character offsets of the
        words; `text` uint8, in UTF-8. The words of a list are joined by single spaces.
        """
        import numpy as np

        from components.preprocessing import text

        words = [text.read(word) for word in item] if isinstance(item, list) else None
        joined = text.read(item) if words is None else " ".join(words)
        if words is None:
            split = text.words(joined)
            words, places = [word for word, _, _ in split], [(begin, end) for _, begin, end in split]
        else:
            ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64)
            places = [(end - 1 - len(word), end - 1) for word, end in zip(words, ends.tolist(), strict=True)]
        tokens = self.tokenizer.encode_words([words], self.max_length)[0]
        return {
            "tokens": tokens.tokens,
            "words": tokens.words,
            "places": np.asarray(places, np.int64).reshape(-1, 2),
            "text": np.frombuffer(joined.encode(), np.uint8),
        }

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `text` or `texts`."""
        return items.of(document, "text", "texts")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """Spans of the likeliest tags; the score of a span is the mean probability of the tags of its words."""
        from components.preprocessing.batch import collate

        probabilities = run("model", collate(self.arrays(), samples, ("tokens",)))["probabilities"]  # (N, T, K)
        return [
            {"spans": _spans(sample, rows[: len(sample["tokens"])], classes)}
            for sample, rows in zip(samples, probabilities, strict=True)
        ]

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Texts to spans."""
        kinds = sorted({tag[2:] for tag in classes if tag != spans.OUTSIDE})
        whole: dict[str, Any] = {"type": "integer", "minimum": 0}
        properties: dict[str, Any] = {
            "text": {"type": "string"},
            "label": {"type": "string", "enum": kinds},
            "start": whole,
            "end": whole,
            "score": {"type": "number", "minimum": 0, "maximum": 1},
        }
        span = {
            "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
        }  # fmt: skip
        return EndpointSchema(
            item="text",
            items="texts",
            media=("text/plain", "application/octet-stream"),
            schema={
                "description": "a text; or its words",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            prediction={
                "type": "object",
                "properties": {"spans": {"type": "array", "items": span}},
                "required": ["spans"],
                "additionalProperties": False,
            },
            form="text",
            summary=f"Find {', '.join(kinds)} in texts",
        )


class TokenClassification(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "token-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"tokens": "json", "tags": "json"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = TokenClassificationSettings
    input_type: ClassVar[type[InputSpec]] = TokensInput
    output_type: ClassVar[type[OutputSpec]] = TokenClassesOutput
    objective: ClassVar[str] = "components.training.objectives.token_classification:TokenClassificationObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("entity_f1", higher_is_better=True)
    scorer: ClassVar[str] = "components.evaluation.token_classification:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "entity_f1": Metric(True, "F1 of whole entities: correct are those of the same words and label"),
        "entity_precision": Metric(True, "share of predicted entities that are correct"),
        "entity_recall": Metric(True, "share of true entities that are predicted"),
        "token_accuracy": Metric(True, "share of words with the correct tag; words past max_length are wrong"),
    }
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    raw_columns: ClassVar[tuple[str, ...]] = ("words", "entities", "repairs", "valid", "error")
    prepared_columns: ClassVar[tuple[str, ...]] = ("tokens", "words", "largest_token", "largest_tag", "unknown_share")
    target_columns: ClassVar[frozenset[str]] = frozenset({"words", "largest_tag"})
    starting_model: ClassVar[dict[str, Any]] = {"family": "rnn", "name": "gru", "width": 128, "bidirectional": True}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "rnn": {"name": "gru", "bidirectional": True, "pooling": "max"},
        "transformer": {"name": "encoder"},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """A length for nearly all sentences."""
        return {"max_length": power_of_two(1.2 * high(profile, "words"), 16, 512)}

    def content(self, values: Values) -> bytes:
        """The words."""
        return json.dumps(values["tokens"]).encode()

    def labels(self, values: Values) -> list[str]:
        """The tags, after `spans.repaired`."""
        return sorted(set(spans.repaired(values["tags"]))) if _wrong(values) is None else []

    def strata(self, values: Values) -> list[str]:
        """The kinds of the sample's entities."""
        return sorted({span.label for span in spans.spans(values["tags"])}) if _wrong(values) is None else []

    def describe(self, values: Values) -> dict[str, object]:
        """Number of words, of entities, of tags that `spans.repaired` changes; whether the sample is valid."""
        wrong = _wrong(values)
        tags = values["tags"] if wrong is None else []
        return {
            "words": len(values["tokens"]) if isinstance(values["tokens"], list) else 0,
            "entities": len(spans.spans(tags)),
            "repairs": sum(one != other for one, other in zip(tags, spans.repaired(tags), strict=True)),
            "valid": wrong is None,
            "error": wrong,
        }

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Numbers of tokens and of words, largest token number, largest tag number."""
        return {
            "tokens": batch["tokens_lengths"],
            "words": (batch["tags"] != spans.IGNORED).sum(axis=1),
            "largest_token": batch["tokens"].max(axis=1),
            "largest_tag": batch["tags"].max(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """The words, each entity in brackets with its label."""
        words = [str(word) for word in values["tokens"]]
        for span in reversed(spans.spans(values["tags"]) if _wrong(values) is None else []):
            words[span.begin : span.end] = [f"[{' '.join(words[span.begin : span.end])}: {span.label}]"]
        return " ".join(words)

    def decode(self, values: Values, settings: TokenClassificationSettings) -> Arrays:
        """Nothing to decode: tokens depend on the train split."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The words."""
        return self.content(values)

    def fit(
        self, settings: TokenClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TokenClassificationProcessor:
        """Train the tokenizer."""
        from components.preprocessing.text import Tokenizer

        tokenizer = Tokenizer.fit(settings.tokenizer, (" ".join(raw.values["tokens"]) for raw in train))
        return TokenClassificationProcessor.of(tokenizer, max_length=settings.max_length, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The words, joined by spaces; the truth is the entities as text."""
        words = values["tokens"]
        found = [f"{' '.join(words[span.begin : span.end])}: {span.label}" for span in spans.spans(values["tags"])]
        return Example(" ".join(words).encode(), "text/plain", ".txt", "; ".join(found) or "none")

    def load(self, folder: Path) -> TokenClassificationProcessor:
        """Read processor.json and tokenizer.json."""
        return TokenClassificationProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both have the same spans with the same labels."""
        first, second = (
            [(span["start"], span["end"], span["label"]) for span in prediction["spans"]]
            for prediction in (ours, theirs)
        )
        return first == second


def _wrong(values: Values) -> str | None:
    tokens, tags = values["tokens"], values["tags"]
    for name, found in (("tokens", tokens), ("tags", tags)):
        if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
            return f"{name} are not a list of words"
    if len(tokens) != len(tags):
        return f"{len(tokens)} words and {len(tags)} tags"
    if not all(word.strip() for word in tokens):
        return "an empty word"
    invalid = next((tag for tag in tags if not spans.FORM.fullmatch(tag)), None)
    return None if invalid is None else f"the tag {invalid!r}"


def _first(words: NDArray[Any]) -> NDArray[Any]:
    """Indices of the first token of each word, from the word of each token (T,)."""
    import numpy as np

    begins = np.ones(len(words), np.bool_)
    begins[1:] = words[1:] != words[:-1]
    return np.flatnonzero(begins & (words >= 0))


def _spans(sample: Arrays, probabilities: NDArray[Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The spans of one sample, from probabilities (T, K)."""
    import numpy as np

    joined = sample["text"].tobytes().decode()
    tags = [spans.OUTSIDE] * len(sample["places"])
    scores = np.ones(len(tags))
    for token in _first(sample["words"]).tolist():
        word, best = int(sample["words"][token]), int(probabilities[token].argmax())
        tags[word], scores[word] = classes[best], float(probabilities[token, best])
    found = []
    for span in spans.spans(tags):
        start, end = int(sample["places"][span.begin, 0]), int(sample["places"][span.end - 1, 1])
        score = float(scores[span.begin : span.end].mean())
        found.append({"text": joined[start:end], "label": span.label, "start": start, "end": end, "score": score})
    return found


TASK = TokenClassification()
