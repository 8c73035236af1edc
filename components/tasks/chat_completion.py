"""Chat completion: a conversation -> the next answer, by a causal language model with a chat template.

Only the tokens of answers are learned and scored. Legend: N samples, T tokens, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr

from components.contracts.array_spec import ArraySpec
from components.contracts.chat_template import MESSAGES, TEMPLATE
from components.core.errors import SampleError
from components.core.strict import Strict
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.tokenizer_spec import Bpe, Pretrained, WordLevel
from components.tasks import items
from components.tasks.growing_text import GrowingText
from components.tasks.task import EndpointSchema, Example, FieldKind, Metric, RawSample, Values
from components.tasks.task_defaults import Layout, SourceProfile, high, power_of_two
from components.tasks.text_generation import TextGeneration, TextGenerationProcessor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.preprocessing.chat import ChatEncoder
    from components.preprocessing.text import Tokenizer
    from components.tasks.task import Arrays

_JSON = "application/json"
_ROLE_SCHEMA = {"type": "string", "enum": ["system", "user", "assistant"]}


class ChatCompletionSettings(Strict):
    """How conversations become token numbers.

    Args:
        max_length: longer conversations are cut to so many tokens; the context window of the network.
        chat_template: in Jinja; null: that of the pretrained tokenizer, else `contracts.chat_template.TEMPLATE`.
        packing: whether a training puts several conversations into one row of `max_length` tokens; needs a network that
            keeps them apart, such as causal-lm.
    """

    tokenizer: Annotated[WordLevel | Bpe | Pretrained, Field(discriminator="kind")] = Bpe(vocabulary=8_000)
    max_length: int = Field(default=512, ge=4, le=32_768)
    chat_template: str | None = Field(default=None, min_length=1)
    packing: bool = False


class ChatCompletionProcessor(TextGenerationProcessor):
    """The tokenizer and the chat template."""

    template: str
    packing: bool

    _encoder: ChatEncoder | None = PrivateAttr(default=None)

    def open_encoder(self) -> ChatEncoder:
        """What writes conversations with the template.

        Raises:
            UsageError: the template cannot be read.
        """
        if self._encoder is None:
            from components.preprocessing.chat import ChatEncoder

            self._encoder = ChatEncoder(self.tokenizer, self.template, self.special_tokens())
        return self._encoder

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`tokens` int64 (T,), a conversation; `answers` uint8 (T,), 1 for tokens of answers."""
        return (
            ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad),
            ArraySpec(name="answers", type="uint8", shape=(), layout="ragged"),
        )

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Token numbers of each conversation up to its last answer, at most `max_length`."""
        encoded = items.each(lambda raw: self.open_encoder().conversation(checked(raw.values[MESSAGES])), samples)
        size = self.max_length
        return [{"tokens": one.tokens[:size].copy(), "answers": one.answers[:size].copy()} for one in encoded]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A list of messages, or a text, which is one message of the user."""
        from components.preprocessing import text

        own = item if isinstance(item, list) else [{"role": "user", "content": text.read(item)}]
        return {"tokens": self.open_encoder().prompt(checked(own))}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `messages` or `conversations`."""
        return items.of(document, MESSAGES, "conversations")

    def count_tokens(self, sample: Arrays) -> int:
        """Number of tokens of a conversation with its template."""
        return len(sample["tokens"])

    def _continuation(self, prompt: NDArray[Any], tokens: NDArray[Any]) -> str:
        """The text of an answer."""
        return self.tokenizer.decode(tokens)

    def _growing(self, prompt: NDArray[Any], stop: Sequence[str]) -> GrowingText:
        """The text of an answer, while its tokens come."""
        return GrowingText(self.tokenizer, prompt[:0], stop)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Conversations to answers."""
        message = {
            "type": "object",
            "properties": {"role": _ROLE_SCHEMA, "content": {"type": "string"}},
            "required": ["role", "content"],
            "additionalProperties": False,
        }
        conversation = {"type": "array", "items": message, "minItems": 1}
        return (
            super()
            .endpoint(classes)
            ._replace(
                item=MESSAGES,
                items="conversations",
                schema={
                    "anyOf": [conversation, {"type": "string"}],
                    "description": "messages, the last of which is answered; or a text: one message of the user",
                },
                summary="Answer a conversation",
            )
        )


class ChatCompletion(TextGeneration):
    """The half without state."""

    name: ClassVar[str] = "chat-completion"
    fields: ClassVar[dict[str, FieldKind]] = {MESSAGES: "json"}
    settings: ClassVar[type[Strict]] = ChatCompletionSettings
    objective: ClassVar[str] = "components.training.objectives.answers:AnswerObjective"
    scorer: ClassVar[str] = "components.evaluation.answers:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "perplexity": Metric(False, "exp of the mean negative log-probability of a token, over all tokens of answers"),
        "next_token_accuracy": Metric(True, "share of tokens of answers that were the likeliest"),
    }
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers", "jinja2")
    raw_columns: ClassVar[tuple[str, ...]] = (
        "characters", "words", "empty", "control_characters", "valid", "message_count", "answer_count",
    )  # fmt: skip
    prepared_columns: ClassVar[tuple[str, ...]] = ("tokens", "largest_token", "answer_tokens", "unknown_share")
    target_columns: ClassVar[frozenset[str]] = frozenset({"answer_tokens"})

    def draft_layout(self, layout: Layout) -> dict[str, Any]:
        """The layout as it is: conversations have no label."""
        return dict(layout)

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """A length for nearly all conversations: tokens are words, parts of words, and the template's."""
        return {"max_length": power_of_two(1.5 * high(profile, "words"), 32, 2048)}

    def content(self, values: Values) -> bytes:
        """Roles and contents, normalised."""
        from components.preprocessing import text

        pairs = [[message["role"], message["content"]] for message in checked(values[MESSAGES])]
        return text.normal(json.dumps(pairs, ensure_ascii=False))

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the text of all messages, their number, and the number of answers."""
        from components.preprocessing import text

        try:
            messages = checked(values[MESSAGES])
        except SampleError:
            return {**text.describe(None), "message_count": 0, "answer_count": 0}
        answers = sum(message["role"] == "assistant" for message in messages)
        whole = text.describe("\n".join(message["content"] for message in messages))
        return {**whole, "message_count": len(messages), "answer_count": answers}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of tokens, largest token number, number of tokens of answers."""
        return {**super().describe_prepared(batch), "answer_tokens": batch["answers"].sum(axis=1)}

    def preview(self, values: Values) -> bytes | str:
        """The messages, each after its role."""
        return "\n".join(f"{message['role']}: {message['content']}" for message in checked(values[MESSAGES]))

    def fit(
        self, settings: ChatCompletionSettings, train: Iterator[RawSample], classes: Sequence[str]  # type: ignore[override]  # a task's own settings
    ) -> ChatCompletionProcessor:  # fmt: skip
        """Train the tokenizer on the contents of messages, or read that of a pretrained model."""
        from components.preprocessing import generation_tokenizer, text

        contents = (message["content"] for raw in train for message in checked(raw.values[MESSAGES]))
        tokenizer: Tokenizer
        if isinstance(settings.tokenizer, Pretrained):
            for _ in contents:  # consume the iterator: the caller may collect something on the way
                pass
            tokenizer, special, template = generation_tokenizer.read(settings.tokenizer.source)
        else:
            tokenizer, template = text.Tokenizer.fit(settings.tokenizer, contents), None
            special = SpecialTokens(
                names={"eos_token": text.SPECIAL[text.END]}, begin=text.BEGIN, ends=[text.END],
                never=[text.PAD, text.UNKNOWN, text.BEGIN],
            )  # fmt: skip
        processor = ChatCompletionProcessor.of(
            tokenizer, max_length=settings.max_length, special=special, packing=settings.packing,
            template=settings.chat_template or template or TEMPLATE,
        )  # fmt: skip
        processor.open_encoder()  # a template that cannot be read is refused here
        return processor

    def example(self, values: Values) -> Example:
        """The messages before the last answer; the truth is this answer."""
        messages = checked(values[MESSAGES])
        last = max((place for place, one in enumerate(messages) if one["role"] == "assistant"), default=len(messages))
        content = json.dumps({MESSAGES: messages[:last]}, ensure_ascii=False).encode()
        return Example(content, _JSON, ".json", messages[last]["content"] if last < len(messages) else "")

    def load(self, folder: Path) -> ChatCompletionProcessor:
        """Read processor.json and tokenizer.json."""
        return ChatCompletionProcessor.load(folder)


def checked(value: Any) -> list[dict[str, str]]:
    """The messages themselves, after a check.

    Raises:
        SampleError: not a list of messages with a role and a content.
    """
    from components.preprocessing import text

    if not isinstance(value, list) or not value:
        raise SampleError("not a conversation", code=MESSAGES, got=type(value).__name__, expected="a list of messages")
    found = []
    for place, message in enumerate(value):
        is_one = isinstance(message, dict) and message.keys() == {"role", "content"}
        if not is_one or not all(isinstance(part, str) for part in message.values()):
            expected = "an object with role and content, both texts"
            raise SampleError("not a message", code=MESSAGES, where=f"message {place}", expected=expected)
        if message["role"] not in _ROLE_SCHEMA["enum"]:
            got, expected = message["role"][:40], ", ".join(_ROLE_SCHEMA["enum"])
            raise SampleError("not a role", code=MESSAGES, where=f"message {place}", got=got, expected=expected)
        found.append({"role": message["role"], "content": text.checked(message["content"])})
    return found


TASK = ChatCompletion()
