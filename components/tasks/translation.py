"""Translation: a text of one language -> a text of another, by an encoder and a decoder.

Legend: N samples, S source tokens, T target tokens, D width, V vocabulary of the target.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec, TextOutput, TokensInput
from components.core.errors import CorruptArtifactError
from components.core.strict import Strict
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.tokenizer_spec import Bpe, Pretrained, WordLevel
from components.tasks import items
from components.tasks.processor import BaseProcessor
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
from components.tasks.tokenized import TOKENIZER, unknown_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.preprocessing.text import Tokenizer
    from components.tasks.task import Arrays, RunGraph


COMPARED = 1000  # pairs of the train split whose pieces are compared with those of the sentencepiece library


class TranslationSettings(Strict):
    """How texts become token numbers.

    Args:
        tokenizer: of both languages.
        shared: whether both languages have one vocabulary.
        max_length: longer sources and targets are truncated to so many tokens.
        source_prefix: put before each source, such as "translate English to German: " of T5.
    """

    tokenizer: Annotated[WordLevel | Bpe | Pretrained, Field(discriminator="kind")] = Bpe(vocabulary=8_000)
    shared: bool = True
    max_length: int = Field(default=128, ge=4, le=4096)
    source_prefix: str = ""

    @model_validator(mode="after")
    def _a_pretrained_tokenizer_says_what_is_shared(self) -> Self:
        if isinstance(self.tokenizer, Pretrained) and not self.shared:
            raise ValueError("shared: a pretrained tokenizer says itself whether both languages share it; leave it out")
        return self


class TranslationParameters(Strict):
    """Parameters of a request.

    Args:
        beams: width of the beam search; 1 is greedy search.
        length_penalty: exponent of the length penalty; 0 favours short texts, 1 is near the mean log-probability.
        max_length: largest number of tokens of the translation; at most, and by default, that of the model.
    """

    beams: int = Field(default=4, ge=1, le=16)
    length_penalty: float = Field(default=0.6, ge=0, le=4)
    max_length: int | None = Field(default=None, ge=1)


class TranslationProcessor(BaseProcessor):
    """Two tokenizers, or one for both languages.

    Args:
        special: of a pretrained tokenizer, which ends its texts itself; None: those of a trained tokenizer.
        source_prefix: put before each source.
    """

    shared: bool
    max_length: int
    special: SpecialTokens | None = Field(default=None, exclude_if=lambda special: special is None)
    source_prefix: str = Field(default="", exclude_if=lambda prefix: prefix == "")

    _source: Tokenizer = PrivateAttr()
    _target: Tokenizer = PrivateAttr()

    @classmethod
    def of(cls, source: Tokenizer, target: Tokenizer, **state: Any) -> Self:
        """A processor with its tokenizers and its further fields."""
        processor = cls(**state)
        processor._source, processor._target = source, target
        return processor

    def input_spec(self) -> TokensInput:
        """Source tokens (N, S) and their lengths."""
        return TokensInput(vocabulary=self._source.vocabulary, max_length=self.max_length, pad=self._source.pad)

    def special_tokens(self) -> tuple[int, int, list[int]]:
        """The tokens that begin and end a target, and those that it never has."""
        from components.preprocessing.text import BEGIN, END, PAD, UNKNOWN

        if self.special is None:
            return BEGIN, END, [PAD, UNKNOWN, BEGIN]
        begin, (end, *_) = self.special.begin, self.special.ends
        return end if begin is None else begin, end, self.special.never

    def output_spec(self) -> TextOutput:
        """Logits (N, T, V) of the target's next tokens."""
        begin, end, _ = self.special_tokens()
        target = self._target
        return TextOutput(
            vocabulary=target.vocabulary, max_length=self.max_length, begin=begin, end=end, pad=target.pad
        )

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`source` int64 (S,), ends with [END]; `target` int64 (T,), starts with [BEGIN] and ends with [END].

        For the evaluation: `source_text` and `target_text`, the whole texts in UTF-8, uint8 (bytes,).
        """
        texts = [
            ArraySpec(name=name, type="uint8", shape=(), layout="ragged", on_request=True)
            for name in ("source_text", "target_text")
        ]
        return (
            ArraySpec(name="source", type="int64", shape=(), layout="ragged", pad=self._source.pad),
            ArraySpec(name="target", type="int64", shape=(), layout="ragged", pad=self._target.pad),
            *texts,
        )

    def inputs(self) -> tuple[str, ...]:
        """Source, its lengths, and the target so far."""
        return "source", "source_lengths", "target"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers of both texts."""
        import numpy as np

        from components.preprocessing import text

        sources = items.each(lambda raw: text.checked(raw.values["source"]), samples)
        targets = items.each(lambda raw: text.checked(raw.values["target"]), samples)
        begin = self.special_tokens()[0]
        target_tokens = self._ended(self._target, targets, self.max_length - 1)
        return [
            {
                "source": source,
                "target": np.concatenate([np.asarray([begin]), target]),
                "source_text": np.frombuffer(source_text.encode(), np.uint8),
                "target_text": np.frombuffer(target_text.encode(), np.uint8),
            }
            for source, target, source_text, target_text in zip(
                self._sources(sources), target_tokens, sources, targets, strict=True
            )
        ]

    def _sources(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return self._ended(self._source, [self.source_prefix + text for text in texts], self.max_length)

    def _ended(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[NDArray[np.int64]]:
        """Token numbers of texts with their end token, at most `max_length`."""
        import numpy as np

        end = self.special_tokens()[1]
        if self.special is None:
            return [np.append(tokens, end) for tokens in tokenizer.encode(texts, max_length - 1)]
        found = tokenizer.encode(texts, max_length)
        return [tokens if tokens[-1] == end else np.append(tokens[: max_length - 1], end) for tokens in found]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A text, or its bytes in UTF-8."""
        from components.preprocessing import text

        return {"source": self._sources([text.read(item)])[0]}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `text` or `texts`."""
        return items.of(document, "text", "texts")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The best translation of a beam search over the graphs `encoder` and `decoder`."""
        from components.preprocessing.batch import collate
        from components.tasks import beam_search, decoding

        chosen = parameters if isinstance(parameters, TranslationParameters) else TranslationParameters()
        begin, end, never = self.special_tokens()
        feed = collate(self.arrays(), samples, ("source",))
        encoded = {**run("encoder", feed), "source_lengths": feed["source_lengths"]}  # N rows each
        runner = decoding.stateful(run, "decoder")
        continued = None if runner is None else decoding.ContinuedTargets(runner, encoded, chosen.beams)

        def whole(rows: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.floating]:
            return run("decoder", {**{name: value[rows] for name, value in encoded.items()}, "target": target})[
                "logits"
            ]

        hypotheses = beam_search.search(
            continued or whole, len(samples), begin=begin, end=end, never=never, beams=chosen.beams,
            length_penalty=chosen.length_penalty,
            max_length=min(chosen.max_length or self.max_length, self.max_length - 1),
            reorder=None if continued is None else continued.reorder,
        )  # fmt: skip
        return [{"text": self._target.decode(best.tokens), "score": best.score} for best in hypotheses]

    def target_text(self, tokens: NDArray[np.int64]) -> str:
        """The text of target tokens, int64 (T,)."""
        return self._target.decode(tokens)

    def references(self, batch: Arrays) -> list[str]:
        """The whole target texts of a batch, as the data has them."""
        return _texts(batch, "target_text")

    def sources(self, batch: Arrays) -> list[str]:
        """The whole source texts of a batch."""
        return _texts(batch, "source_text")

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Texts to texts."""
        return EndpointSchema(
            item="text",
            items="texts",
            media=("text/plain", "application/octet-stream"),
            schema={"type": "string", "description": "a text"},
            prediction={
                "type": "object",
                "properties": {"text": {"type": "string"}, "score": {"type": "number"}},
                "required": ["text", "score"],
                "additionalProperties": False,
            },
            parameters=TranslationParameters,
            form="text",
            summary="Translate texts",
        )

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """`source_unknown_share` of each source of a batch."""
        share = unknown_share(self._source, batch["source"], batch["source_lengths"])
        return {"source_unknown_share": share}

    def save(self, folder: Path) -> None:
        """Write processor.json and tokenizer.json; two tokenizers have the keys `source` and `target`."""
        super().save(folder)
        if self.shared:
            content = self._source.json()
        else:
            both = {"source": self._source.json(), "target": self._target.json()}
            content = json.dumps(both, sort_keys=True, ensure_ascii=False)
        (folder / TOKENIZER).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CorruptArtifactError: a file cannot be read.
        """
        from components.preprocessing.text import Tokenizer

        processor = super().load(folder)
        path = folder / TOKENIZER
        try:
            content = path.read_text(encoding="utf-8")
            if processor.shared:
                processor._source = processor._target = Tokenizer.parse(content)
            else:
                both = json.loads(content)
                processor._source = Tokenizer.parse(both["source"])
                processor._target = Tokenizer.parse(both["target"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError("the tokenizer cannot be read", where=str(path), got=error) from error
        return processor


def _texts(batch: Arrays, name: str) -> list[str]:
    """Texts of an array of UTF-8 (N, bytes)."""
    from components.contracts.array_spec import lengths

    return [
        row[:length].tobytes().decode() for row, length in zip(batch[name], batch[lengths(name)].tolist(), strict=True)
    ]


def _pretrained(settings: TranslationSettings, place: str, train: Iterator[RawSample]) -> TranslationProcessor:
    """The processor of a pretrained translator."""
    from components.preprocessing import generation_tokenizer

    found = generation_tokenizer.read_pair(place)
    if found.pair is not None:
        texts = [raw.values for raw in islice(train, COMPARED)]
        found.pair.check([one["source"] for one in texts], [one["target"] for one in texts])
    deque(train, maxlen=0)  # consume the iterator: the caller may collect something on the way
    return TranslationProcessor.of(
        found.source, found.target, shared=found.source is found.target, max_length=settings.max_length,
        special=found.special, source_prefix=settings.source_prefix,
    )  # fmt: skip


class Translation(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "translation"
    fields: ClassVar[dict[str, FieldKind]] = {"source": "text", "target": "text"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = TranslationSettings
    input_type: ClassVar[type[InputSpec]] = TokensInput
    output_type: ClassVar[type[OutputSpec]] = TextOutput
    objective: ClassVar[str] = "components.training.objectives.translation:TranslationObjective"
    scorer: ClassVar[str] = "components.evaluation.translation:SCORER"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("bleu", higher_is_better=True)
    metrics: ClassVar[dict[str, Metric]] = {
        "bleu": Metric(True, "BLEU of sacrebleu, 0 to 100"),
        "chrf": Metric(True, "chrF of sacrebleu, 0 to 100"),
    }
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    raw_columns: ClassVar[tuple[str, ...]] = (
        "source_characters", "source_words", "source_empty", "source_control_characters", "source_valid",
        "target_characters", "target_words", "target_empty", "target_control_characters", "target_valid",
        "length_ratio", "same",
    )  # fmt: skip
    prepared_columns: ClassVar[tuple[str, ...]] = (
        "source_tokens", "target_tokens", "largest_source", "largest_target", "source_unknown_share",
    )  # fmt: skip
    target_columns: ClassVar[frozenset[str]] = frozenset({"target_tokens", "largest_target"})
    starting_model: ClassVar[dict[str, Any]] = {"family": "transformer", "name": "seq2seq-transformer"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "rnn": {"name": "seq2seq-gru"},
        "transformer": {"name": "seq2seq-transformer", "depth": 2, "width": 256, "inner": 512},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """A length for nearly all texts of both languages; a word is about two tokens of byte pairs."""
        words = max(high(profile, "source_words"), high(profile, "target_words"))
        return {"max_length": power_of_two(2 * words, 16, 256)}

    def content(self, values: Values) -> bytes:
        """The source, normalised."""
        from components.preprocessing import text

        return text.normal(values["source"])

    def labels(self, values: Values) -> list[str]:
        """No labels."""
        return []

    def strata(self, values: Values) -> list[str]:
        """There are none."""
        return []

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about both texts, the ratio of their lengths in characters, and whether they are equal."""
        from components.preprocessing import text

        source, target = text.describe(values["source"]), text.describe(values["target"])
        sizes = len(str(values["source"] or "")), len(str(values["target"] or ""))
        return {
            **{f"source_{name}": fact for name, fact in source.items()},
            **{f"target_{name}": fact for name, fact in target.items()},
            "length_ratio": sizes[1] / max(sizes[0], 1),
            "same": values["source"] == values["target"],
        }

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Numbers of tokens, largest token numbers."""
        return {
            "source_tokens": batch["source_lengths"],
            "target_tokens": batch["target_lengths"],
            "largest_source": batch["source"].max(axis=1),
            "largest_target": batch["target"].max(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """Both texts."""
        return f"{values['source']} → {values['target']}"

    def decode(self, values: Values, settings: TranslationSettings) -> Arrays:
        """Nothing to decode: tokens depend on the train split."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The source, normalised."""
        return self.content(values)

    def fit(
        self, settings: TranslationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TranslationProcessor:
        """Train one tokenizer on both languages, or one for each; the latter keeps all target texts in memory."""
        from components.preprocessing.text import Tokenizer

        if isinstance(settings.tokenizer, Pretrained):
            return _pretrained(settings, settings.tokenizer.source, train)
        targets: list[str] = []

        def texts() -> Iterator[str]:
            for raw in train:
                yield raw.values["source"]
                if settings.shared:
                    yield raw.values["target"]
                else:
                    targets.append(raw.values["target"])

        source = Tokenizer.fit(settings.tokenizer, texts())
        target = source if settings.shared else Tokenizer.fit(settings.tokenizer, targets)
        return TranslationProcessor.of(
            source, target, shared=settings.shared, max_length=settings.max_length, source_prefix=settings.source_prefix
        )

    def example(self, values: Values) -> Example:
        """The source in UTF-8; the truth is its translation."""
        return Example(values["source"].encode(), "text/plain", ".txt", values["target"])

    def load(self, folder: Path) -> TranslationProcessor:
        """Read processor.json and tokenizer.json."""
        return TranslationProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both texts are equal."""
        return bool(ours["text"] == theirs["text"])


TASK = Translation()
