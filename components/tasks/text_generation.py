"""Text generation: a prompt -> the text that follows, by a causal language model.

Legend: N samples, T tokens, V vocabulary.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, NextTokenOutput, OutputSpec, TokensInput
from components.core.errors import InferenceError
from components.core.strict import Strict
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.tokenizer_spec import Bpe, Pretrained, WordLevel
from components.tasks import items
from components.tasks.decoding import next_token_logits
from components.tasks.growing_text import GrowingText
from components.tasks.task import (
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    StreamedPart,
    Values,
)
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults, high, power_of_two
from components.tasks.tokenized import Tokenized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.sampling import Continuation
    from components.tasks.task import Arrays, RunGraph

_PROMPT_WORDS = 8  # of a text, as an example's prompt


class TextGenerationSettings(Strict):
    """How texts become token numbers.

    Args:
        max_length: the context window of the network. Training reads all tokens, in blocks of this length.
    """

    tokenizer: Annotated[WordLevel | Bpe | Pretrained, Field(discriminator="kind")] = Bpe(vocabulary=8_000)
    max_length: int = Field(default=128, ge=4, le=8192)


class TextGenerationParameters(Strict):
    """Parameters of a request. Equal parameters give equal answers.

    Args:
        max_tokens: largest number of tokens of the continuation.
        temperature: divisor of the logits; 0 always takes the likeliest token.
        top_k: sample from the k likeliest tokens (0: all).
        top_p: sample from the likeliest tokens whose probabilities sum to this.
        seed: of the random generator.
        stop: texts that end the continuation; they are not part of it.
    """

    max_tokens: int = Field(default=64, ge=1, le=2048)
    temperature: float = Field(default=0.0, ge=0, le=10, examples=[0.8])
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1, examples=[0.95])
    seed: int = Field(default=0, ge=0, lt=2**63)
    stop: list[str] = Field(default=[], max_length=8)


class TextGenerationProcessor(Tokenized):
    """The tokenizer.

    Args:
        special: of a pretrained tokenizer, which puts what it begins texts with before them itself; None: those of a
            trained tokenizer.
    """

    special: SpecialTokens | None = Field(default=None, exclude_if=lambda special: special is None)

    def special_tokens(self) -> SpecialTokens:
        """The tokens that begin and end texts, and those that an answer never has."""
        from components.preprocessing import text

        own = SpecialTokens(names={}, begin=text.BEGIN, ends=[text.END], never=[text.PAD, text.UNKNOWN, text.BEGIN])
        return self.special or own

    def output_spec(self) -> NextTokenOutput:
        """Logits (N, T, V)."""
        return NextTokenOutput(vocabulary=self.tokenizer.vocabulary)

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,): [BEGIN] and the text, up to `max_length`; `text_tokens` int32: all of it, to [END]."""
        pad = self.tokenizer.pad
        return (
            ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=pad),
            ArraySpec(name="text_tokens", type="int32", shape=(), layout="ragged", pad=pad, on_request=True),
        )

    def inputs(self) -> tuple[str, ...]:
        """The tokens and their lengths."""
        return "tokens", "tokens_lengths"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers of the beginning and of the whole text."""
        import numpy as np

        from components.preprocessing import text

        texts = items.each(lambda raw: text.checked(raw.values["text"]), samples)
        end = np.asarray(self.special_tokens().ends[:1])
        whole = [np.concatenate([self._begun(tokens), end]) for tokens in self.tokenizer.encode(texts, sys.maxsize)]
        return [
            {"tokens": tokens[: self.max_length].copy(), "text_tokens": tokens.astype(np.int32)} for tokens in whole
        ]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A text, or its bytes in UTF-8; may be empty. The network uses the last tokens of a long prompt."""
        import numpy as np

        from components.preprocessing import text

        prompt = text.read(item)
        tokens = self.tokenizer.encode([prompt], len(prompt.encode()) + 1)[0] if prompt else np.zeros(0, np.int64)
        return {"tokens": self._begun(tokens)}

    def _begun(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """A text after its begin token: a pretrained tokenizer has put it there, if the model knows one."""
        import numpy as np

        special = self.special_tokens()
        if self.special is not None and len(tokens):
            return tokens
        return np.concatenate([np.asarray([special.ends[0] if special.begin is None else special.begin]), tokens])

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `prompt` or `prompts`."""
        return items.of(document, "prompt", "prompts")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The continuation of each prompt, the mean log-probability of its tokens, and the reason of its end."""
        chosen = parameters if isinstance(parameters, TextGenerationParameters) else TextGenerationParameters()
        growing = [self._growing(sample["tokens"], chosen.stop) for sample in samples if chosen.stop]
        found = deque(self._write(run, samples, chosen, growing), maxlen=1).pop()  # the last step's
        return [self._prediction(sample, one, chosen) for sample, one in zip(samples, found, strict=True)]

    def stream(
        self, run: RunGraph, sample: Arrays, classes: Sequence[str], parameters: Strict | None
    ) -> Generator[StreamedPart, None, None]:
        """One part for each token, some without text, and a last one with the prediction.

        Raises:
            InferenceError: the parts are not the begin of the whole text.
        """
        chosen = parameters if isinstance(parameters, TextGenerationParameters) else TextGenerationParameters()
        growing = self._growing(sample["tokens"], chosen.stop)
        count, emitted = self.count_tokens(sample), 0
        found: Sequence[Continuation] = []
        for found in self._write(run, [sample], chosen, [growing]):
            yield StreamedPart(growing.emitted[emitted:], len(found[0].tokens), count)
            emitted = len(growing.emitted)
        prediction = self._prediction(sample, found[0], chosen)
        text = str(prediction["text"])
        if not text.startswith(growing.emitted):
            raise InferenceError("the streamed text is not the begin of the answer", got=growing.emitted, expected=text)
        yield StreamedPart(text[emitted:], len(found[0].tokens), count, prediction)

    def count_tokens(self, sample: Arrays) -> int:
        """Number of tokens of a prompt; the network sees the last ones of more than `max_length` - 1."""
        return len(sample["tokens"]) - (self.special is None)

    def _write(
        self,
        run: RunGraph,
        samples: Sequence[Arrays],
        chosen: TextGenerationParameters,
        growing: Sequence[GrowingText],
    ) -> Iterator[Sequence[Continuation]]:
        """The continuations of samples, token by token.

        Args:
            growing: the texts of the continuations, which grow with them; none if nobody looks at them.
        """
        from components.tasks import sampling

        special = self.special_tokens()

        def stop(row: int, token: int) -> bool:
            if growing:
                growing[row].push(token)
            return bool(growing) and growing[row].stopped

        return sampling.write(
            next_token_logits(run, self.inputs(), self.max_length, self.tokenizer.pad),
            [sample["tokens"] for sample in samples],
            sampling.SamplingSettings(chosen.temperature, chosen.top_k, chosen.top_p),
            ends=special.ends,
            never=special.never,
            max_tokens=chosen.max_tokens,
            seed=chosen.seed,
            stop=stop,
        )

    def _prediction(self, sample: Arrays, found: Continuation, chosen: TextGenerationParameters) -> Prediction:
        import numpy as np

        continuation = self._continuation(sample["tokens"], np.asarray(found.tokens, np.int64))
        return {
            "text": self._before_stop(continuation, chosen.stop),
            "score": found.score,
            "tokens": len(found.tokens),
            "stopped": found.stopped,
        }

    def _continuation(self, prompt: NDArray[np.int64], tokens: NDArray[np.int64]) -> str:
        """The text of tokens that follow a prompt, with the space between the two, if there is one."""
        import numpy as np

        before = self.tokenizer.decode(prompt)
        whole = self.tokenizer.decode(np.concatenate([prompt, tokens]))
        return whole[len(before) :] if whole.startswith(before) else self.tokenizer.decode(tokens)

    def _growing(self, prompt: NDArray[np.int64], stop: Sequence[str]) -> GrowingText:
        """The text of `_continuation`, while its tokens come."""
        return GrowingText(self.tokenizer, prompt, stop)

    def _before_stop(self, continuation: str, stop: Sequence[str]) -> str:
        """The continuation up to the first of the stop texts."""
        places = [continuation.index(ending) for ending in stop if ending in continuation]
        return continuation[: min(places)] if places else continuation

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Prompts to texts."""
        properties: dict[str, Any] = {
            "text": {"type": "string"},
            "score": {"type": "number", "maximum": 0},
            "tokens": {"type": "integer", "minimum": 0},
            "stopped": {"type": "string", "enum": ["end", "stop", "length"]},
        }
        return EndpointSchema(
            item="prompt",
            items="prompts",
            media=("text/plain", "application/octet-stream"),
            schema={"type": "string", "description": "the start of a text"},
            prediction={
                "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
            },
            parameters=TextGenerationParameters,
            form="text",
            summary="Go on writing",
        )  # fmt: skip


class TextGeneration(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "text-generation"
    fields: ClassVar[dict[str, FieldKind]] = {"text": "text"}
    payload_field: ClassVar[str] = ""
    item_field: ClassVar[str] = "text"
    settings: ClassVar[type[Strict]] = TextGenerationSettings
    input_type: ClassVar[type[InputSpec]] = TokensInput
    output_type: ClassVar[type[OutputSpec]] = NextTokenOutput
    objective: ClassVar[str] = "components.training.objectives.next_token:NextTokenObjective"
    scorer: ClassVar[str] = "components.evaluation.text_generation:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "perplexity": Metric(False, "exp of the mean negative log-probability of a token, over all tokens"),
        "next_token_accuracy": Metric(True, "share of tokens that were the likeliest"),
    }
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    raw_columns: ClassVar[tuple[str, ...]] = ("characters", "words", "empty", "control_characters", "valid")
    prepared_columns: ClassVar[tuple[str, ...]] = ("tokens", "largest_token", "unknown_share")
    starting_model: ClassVar[dict[str, Any]] = {
        "family": "transformer", "name": "decoder", "depth": 3, "width": 192, "heads": 6,
    }  # fmt: skip
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {"name": "decoder"},
        "state-space": {"name": "mamba"},
    }
    max_batch_size: ClassVar[int] = 32

    def draft_layout(self, layout: Layout) -> dict[str, Any]:
        """Labels of a table of texts are not read."""
        return {**layout, "label": None} if "text" in layout else dict(layout)

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """A length for nearly all texts: tokens are words and parts of words."""
        return {"max_length": power_of_two(1.3 * high(profile, "words"), 16, 512)}

    def content(self, values: Values) -> bytes:
        """The text, normalised."""
        from components.preprocessing import text

        return text.normal(values["text"])

    def labels(self, values: Values) -> list[str]:
        """No labels."""
        return []

    def strata(self, values: Values) -> list[str]:
        """There are none."""
        return []

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the text."""
        from components.preprocessing import text

        return text.describe(values["text"])

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of tokens, largest token number."""
        return {"tokens": batch["tokens_lengths"], "largest_token": batch["tokens"].max(axis=1)}

    def preview(self, values: Values) -> bytes | str:
        """The text."""
        return str(values["text"])

    def decode(self, values: Values, settings: TextGenerationSettings) -> Arrays:
        """Nothing to decode: tokens depend on the train split."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The text, normalised."""
        return self.content(values)

    def fit(
        self, settings: TextGenerationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TextGenerationProcessor:
        """Train the tokenizer, or read that of a pretrained model."""
        from components.preprocessing.text import Tokenizer

        if isinstance(settings.tokenizer, Pretrained):
            from components.preprocessing import generation_tokenizer

            deque(train, maxlen=0)  # consume the iterator: the caller may collect something on the way
            hub = generation_tokenizer.read(settings.tokenizer.source)
            return TextGenerationProcessor.of(hub.tokenizer, max_length=settings.max_length, special=hub.special)
        tokenizer = Tokenizer.fit(settings.tokenizer, (raw.values["text"] for raw in train))
        return TextGenerationProcessor.of(tokenizer, max_length=settings.max_length)

    def example(self, values: Values) -> Example:
        """The first words of a text as a prompt; the truth is the next words."""
        words = values["text"].split()
        half = min(_PROMPT_WORDS, max(1, len(words) // 2))
        return Example(" ".join(words[:half]).encode(), "text/plain", ".txt", " ".join(words[half : 4 * half]))

    def load(self, folder: Path) -> TextGenerationProcessor:
        """Read processor.json and tokenizer.json."""
        return TextGenerationProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both texts are equal."""
        return bool(ours["text"] == theirs["text"])


TASK = TextGeneration()
