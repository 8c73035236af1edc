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

MESSAGES = "messages"  # the key of one conversation in requests to a model that has a template
# The same text as a template of Jinja, with the end token after each answer, for pretrained models without a template.
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
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
