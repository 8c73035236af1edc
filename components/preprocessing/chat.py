"""Conversations to token numbers by a chat template: Jinja in its sandbox, as transformers' `apply_chat_template`.

`strftime_now` is not defined, so that equal conversations give equal tokens on every day: templates that ask whether it
is defined fall back to a fixed date. Legend: T tokens of a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import tokenizers
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray

from components.core.errors import SampleError, UsageError
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.text import Tokenizer

ANSWER = "assistant"  # the role whose messages the model writes

Message = Mapping[str, str]


class Encoded(NamedTuple):
    """A conversation.

    Args:
        tokens: int64 (T,).
        answers: uint8 (T,), 1 for the tokens of answers, with the token that ends each.
    """

    tokens: NDArray[np.int64]
    answers: NDArray[np.uint8]


class ChatEncoder:
    """Writes conversations with a chat template and tokenises them. Safe to call from several threads.

    The texts of special tokens in the template are special tokens; in the content of a message they are refused.

    Args:
        tokenizer: of the model.
        template: in Jinja.

    Raises:
        UsageError: the template cannot be read.
    """

    def __init__(self, tokenizer: Tokenizer, template: str, special: SpecialTokens) -> None:
        self._inner = tokenizer.library_tokenizer()
        self._inner.encode_special_tokens = False
        added = self._inner.get_added_tokens_decoder().values()
        self._special_texts = sorted(token.content for token in added if token.special)
        self._special = special
        try:
            self._template = _environment().from_string(template)
        except TemplateError as error:
            raise UsageError("the chat template cannot be read", got=error, expected="a template of Jinja") from error

    def prompt(self, messages: Sequence[Message]) -> NDArray[np.int64]:
        """Token numbers (T,) of a conversation, up to the point where the model answers.

        Raises:
            SampleError: the template refuses the conversation, or a message has the text of a special token.
        """
        self._check(messages)
        return np.asarray(self._encode(self._render(messages, answers=True)).ids, np.int64)

    def conversation(self, messages: Sequence[Message]) -> Encoded:
        """Token numbers of a conversation, up to the end of its last answer, and which of them are answers.

        Answers that the template writes in another way once the conversation goes on are not marked, but the last one
        always is.

        Raises:
            SampleError: as `prompt`, or the conversation has no answer, or does not begin as the prompt for its answer.
        """
        self._check(messages)
        places = [place for place, message in enumerate(messages) if place and message["role"] == ANSWER]
        if not places:
            expected = f"a message of the role {ANSWER} after another message"
            raise SampleError("the conversation has no answer", expected=expected)
        last = places[-1]
        whole = self._render(messages[: last + 1])
        spans = [span for place in places if (span := self._span(messages, place, whole)) is not None]
        if not spans or spans[-1][1] != len(whole):
            raise SampleError(
                "the chat template does not write the prompt for an answer before the answer",
                got=whole[-80:],
                next_step="choose another template: input.chat_template of dataset.yaml",
            )
        encoding = self._encode(whole)
        tokens, answers = np.asarray(encoding.ids, np.int64), np.zeros(len(encoding.ids), np.uint8)
        begins, ends = (np.asarray(side, np.int64) for side in zip(*encoding.offsets, strict=True))
        for begin, end in spans:
            inside = np.flatnonzero((begins >= begin) & (ends <= end) & (ends > begins))
            closing = inside[np.isin(tokens[inside], self._special.ends)]
            answers[inside if not len(closing) else inside[inside <= closing[-1]]] = 1
        known = int(answers.nonzero()[0].max(initial=-1)) + 1
        if not known:
            raise SampleError("the answer of the conversation has no token", got=whole[-80:])
        if tokens[known - 1] not in self._special.ends:
            return Encoded(np.append(tokens[:known], self._special.ends[0]), np.append(answers[:known], np.uint8(1)))
        return Encoded(tokens[:known], answers[:known])

    def _span(self, messages: Sequence[Message], place: int, whole: str) -> tuple[int, int] | None:
        """The begin and end of an answer in the text of its conversation, if the text has its prompt and itself."""
        try:
            before = self._render(messages[:place], answers=True)
            with_answer = self._render(messages[: place + 1])
        except SampleError:
            return None
        fits = whole.startswith(with_answer) and with_answer.startswith(before)
        return (len(before), len(with_answer)) if fits else None

    def _render(self, messages: Sequence[Message], *, answers: bool = False) -> str:
        plain = [dict(message) for message in messages]
        try:
            return self._template.render(messages=plain, add_generation_prompt=answers, **self._special.names)
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise SampleError("the chat template refuses the conversation", code="messages", got=error) from error

    def _encode(self, text: str) -> tokenizers.Encoding:
        return self._inner.encode(text, add_special_tokens=False)

    def _check(self, messages: Sequence[Message]) -> None:
        for place, message in enumerate(messages):
            found = next((one for one in self._special_texts if one in message["content"]), None)
            if found is not None:
                raise SampleError(
                    "a message has the text of a special token",
                    code="messages",
                    where=f"message {place}",
                    got=found,
                    next_step="remove it: the model would read it as the end or the begin of a message",
                )


class _Generation(Extension):
    """The tag `generation` of transformers' templates, around what the model writes: its content as it is."""

    tags = {"generation"}  # noqa: RUF012  # as the library declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements up to `endgeneration`."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    found = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    found.filters["tojson"] = _to_json
    found.globals["raise_exception"] = _raise
    return found


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON without the escapes of HTML that Jinja's own filter makes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
