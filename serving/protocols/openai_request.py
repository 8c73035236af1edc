"""Requests of OpenAI's API for texts: what is read, what has no effect here, and what is refused.

Source: https://platform.openai.com/docs/api-reference (completions, chat completions). A parameter that this service
cannot follow is refused unless its value asks for nothing; it is never ignored.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.contracts import chat_template
from components.contracts.chat_template import Message
from components.tasks.task import EndpointSchema
from serving.problem import RefusedRequest

COMPLETION_TOKENS = 16  # OpenAI's default of a completion; a chat without a number gets the task's own default
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

# The parameters that are read. `top_k` is the task's own.
_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop")
_READ = {"model", "stream", "stream_options", "user", *_SAMPLING}
_WITHOUT_EFFECT = {"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier", "parallel_tool_calls"}

# Parameters that cannot be followed, with the values that ask for nothing; null always does.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False,),
    "top_logprobs": (),
    "suffix": ("",),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "store": (False,),
}


@dataclass(frozen=True)
class TextRequest:
    """A request for texts.

    Args:
        prompts: one for each choice of the answer: texts, or lists of messages for a model with a chat template.
        parameters: of the task.
        stream, include_usage: whether the answer comes in parts, and whether its last part has the usage.
    """

    prompts: list[Any]
    parameters: dict[str, Any]
    stream: bool = False
    include_usage: bool = False
    model: str = field(default="")


def completion(document: Mapping[str, Any], endpoint: EndpointSchema) -> TextRequest:
    """A request of /v1/completions.

    Raises:
        RefusedRequest: 400, in OpenAI's words.
    """
    _check(document, {"prompt"})
    if endpoint.item == chat_template.MESSAGES:
        message = "this model answers conversations; its path is /v1/chat/completions"
        raise RefusedRequest(404, "unsupported_model", message, where="model")
    prompts = document.get("prompt", "")
    prompts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) for one in prompts):
        raise bad("prompt", "a prompt is a text or a list of texts; tokens are not read", type(prompts).__name__)
    return _request(document, endpoint, prompts, default_tokens=COMPLETION_TOKENS, ending=None)


def chat(document: Mapping[str, Any], endpoint: EndpointSchema) -> TextRequest:
    """A request of /v1/chat/completions: its messages are written with the template of the model, if it has one, else
    with `components.contracts.chat_template`.

    Raises:
        RefusedRequest: 400, in OpenAI's words.
    """
    _check(document, {"messages", "max_completion_tokens"})
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad("messages", "messages is a list with at least one message", type(messages).__name__)
    read = [_message(place, one) for place, one in enumerate(messages)]
    has_template = endpoint.item == chat_template.MESSAGES
    prompt: Any = [one._asdict() for one in read] if has_template else chat_template.prompt(read)
    if (most := document.get("max_completion_tokens")) is not None:
        document = {**document, "max_tokens": most}
    ending = None if has_template else chat_template.NEXT_MESSAGE
    return _request(document, endpoint, [prompt], default_tokens=None, ending=ending)


def bad(where: str, message: str, got: object = None) -> RefusedRequest:
    """The refusal of a parameter."""
    return RefusedRequest(400, "invalid_value", message, where=where, got=got)


def _check(document: Mapping[str, Any], own: set[str]) -> None:
    for name, value in document.items():
        if name in _READ or name in own or name in _WITHOUT_EFFECT or value is None:
            continue
        if name not in _NEUTRAL:
            raise bad(name, "this parameter is not known", repr(value)[:40])
        if not any(
            value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in _NEUTRAL[name]
        ):
            raise bad(name, "this parameter is not supported", repr(value)[:40])


def _request(
    document: Mapping[str, Any],
    endpoint: EndpointSchema,
    prompts: list[Any],
    *,
    default_tokens: int | None,
    ending: str | None,
) -> TextRequest:
    parameters: dict[str, Any] = {name: document[name] for name in _SAMPLING if document.get(name) is not None}
    if default_tokens is not None:
        parameters.setdefault("max_tokens", default_tokens)
    parameters.setdefault("temperature", 1.0)  # OpenAI's default; the task's own is 0
    if "seed" not in parameters and parameters["temperature"]:
        parameters["seed"] = secrets.randbelow(2**62)  # unlike /predict: without a seed, answers differ
    stop = parameters.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    parameters["stop"] = [*stop, ending] if ending is not None and isinstance(stop, list) else stop
    known = endpoint.parameters.model_fields if endpoint.parameters else {}
    if odd := [name for name in parameters if name not in known and document.get(name) is not None]:
        raise bad(odd[0], "this model has no such parameter")
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise bad("stream_options", "stream_options is an object", type(options).__name__)
    return TextRequest(
        prompts,
        {name: value for name, value in parameters.items() if name in known},
        _flag(document, "stream"),
        _flag(options or {}, "include_usage"),
    )


def _message(place: int, message: Any) -> Message:
    where = f"messages[{place}]"
    if not isinstance(message, dict):
        raise bad(where, "a message is an object", type(message).__name__)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise bad(f"{where}.role", "this role is not supported; known are " + ", ".join(ROLES), repr(role)[:40])
    content = message.get("content")
    if isinstance(content, list):
        texts = [one.get("text") for one in content if isinstance(one, dict) and one.get("type") == "text"]
        are_texts = len(texts) == len(content) and all(isinstance(text, str) for text in texts)
        content = "\n".join(map(str, texts)) if are_texts else None
    if not isinstance(content, str):
        raise bad(f"{where}.content", "the content of a message is text", type(message.get("content")).__name__)
    return Message(ROLES[role], content)


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(name, f"{name} is true or false", repr(value)[:40])
    return bool(value)
