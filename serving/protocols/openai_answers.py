"""How OpenAI's API writes answers: completions and chats, whole and in parts."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

from components.tasks.task import Prediction
from serving.slots import ModelSlot

_FINISH = {"end": "stop", "stop": "stop", "length": "length"}


class AnswerForm(NamedTuple):
    """How the answers of one of the two endpoints are written.

    Args:
        prefix: of their ids.
        kind, chunk_kind: the field `object` of a whole answer and of a part.
        is_chat: choices have a message.
    """

    prefix: str
    kind: str
    chunk_kind: str
    is_chat: bool

    def choice(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        """One choice of a whole answer."""
        content: dict[str, Any] = {"text": text}
        if self.is_chat:
            content = {"message": {"role": "assistant", "content": text.strip(), "refusal": None}}
        return {"index": index, **content, "logprobs": None, "finish_reason": finish}

    def part(self, index: int, text: str, finish: str | None, *, is_first: bool) -> dict[str, Any]:
        """One choice of a part of an answer."""
        content: dict[str, Any] = {"text": text}
        if self.is_chat:
            delta = {"role": "assistant"} if is_first else {}
            content = {"delta": {**delta, "content": text} if text or is_first else delta}
        return {"index": index, **content, "logprobs": None, "finish_reason": finish}


COMPLETION = AnswerForm("cmpl", "text_completion", "text_completion", False)
CHAT = AnswerForm("chatcmpl", "chat.completion", "chat.completion.chunk", True)


def finish(prediction: Prediction) -> str:
    """Why an answer ended, in OpenAI's words."""
    return _FINISH.get(str(prediction.get("stopped", "end")), "stop")


def whole(form: AnswerForm, slot: ModelSlot, predictions: list[Prediction], prompt_tokens: int) -> dict[str, Any]:
    """A whole answer, with a choice a prediction."""
    choices = [form.choice(index, str(one["text"]), finish(one)) for index, one in enumerate(predictions)]
    counted = usage(prompt_tokens, sum(int(one.get("tokens", 0)) for one in predictions))
    return {**head(form, form.kind, slot), "choices": choices, "usage": counted}


def head(form: AnswerForm, kind: str, slot: ModelSlot) -> dict[str, Any]:
    """What all answers begin with."""
    return {
        "id": f"{form.prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": slot.about["name"],
        "system_fingerprint": f"fp_{slot.about['package'][:10]}",
    }


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Numbers of tokens."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
