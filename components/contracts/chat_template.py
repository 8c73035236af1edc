"""The text of a conversation, for language models without a template of their own: that of Zephyr.

    <|user|>
    What is the capital of France?
    <|assistant|>
    Paris.

`modelyard new` drafts datasets of conversations with `MESSAGE`; the service writes the same text from a chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MESSAGE = "<|{role}|>\n{content}\n"
ANSWER = "<|assistant|>\n"
NEXT_MESSAGE = "\n<|"  # where the model begins another message, its answer is at an end


class Message(NamedTuple):
    """A message of a conversation."""

    role: str
    content: str


def prompt(messages: Sequence[Message]) -> str:
    """A conversation up to the point where the model answers."""
    written = [MESSAGE.replace("{role}", one.role).replace("{content}", one.content) for one in messages]
    return "".join(written) + ANSWER
