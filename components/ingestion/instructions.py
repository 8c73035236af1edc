"""Data of language models: instructions, prompts and messages become texts by a template, or lists of messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contracts.annotation_layout import InstructionLayout
from components.core.errors import SourceError
from components.ingestion import json_documents
from components.ingestion.json_documents import Document
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

_PLACE = re.compile(r"\{(\w+)\}")
ROLE_KEYS = ("role", "from")  # of a message, as OpenAI and as ShareGPT write it
CONTENT_KEYS = ("content", "value")
Messages = list[dict[str, str]]
_ANSWER = "assistant"  # what stands for the role of the model


def samples(layout: InstructionLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The texts or conversations of each file, in order; ids are `<split>/<number>`.

    Objects without an instruction, prompt or output, and conversations without an answer, are left out and counted.

    Raises:
        SourceError: a file is missing, an object lacks a part of its form or its group, or a part is no text.
    """
    counts: dict[str, int] = {}
    for prefix, split, where, document in json_documents.by_split(layout.files, folder, layout.encoding):
        number = counts[prefix] = counts.get(prefix, -1) + 1
        made = _conversation if layout.form == "messages" else _filled
        text = made(layout, document, where, remarks)
        if text is not None:
            group = {} if layout.group is None else {"group": _group(layout.group, document, where)}
            (field, *_) = layout.fields
            yield Sample(f"{prefix}/{number:06d}", split, {field: text, **group})


def _group(key: str, document: Document, where: str) -> str:
    """What an object belongs to, as text."""
    value = document.get(key)
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text:
        got = ", ".join(document) if key not in document else repr(value)[:40]
        raise SourceError("no group", where=where, got=got, expected=f"a text or a whole number under {key!r}",
                          next_step="add it, or remove `group:` from the layout")  # fmt: skip
    return text


def _filled(layout: InstructionLayout, document: Document, where: str, remarks: Remarks) -> str | Messages | None:
    parts: dict[str, str] = {}
    for part in layout.parts:
        key = layout.key(part)
        value = document.get(key)
        if value is None and (key in document or part == "input"):
            value = ""
        if not isinstance(value, str):
            got = type(value).__name__ if key in document else ", ".join(document)
            raise SourceError("no text", where=where, got=got, expected=f"a text under {key!r}")
        parts[part] = value
    for part, value in parts.items():
        if part != "input" and not value.strip():
            remarks.add(f"samples with an empty {part} are left out", where)
            return None
    if layout.template is None:
        asked, answer = (value for name, value in parts.items() if name != "input")
        content = f"{asked}\n\n{parts['input']}" if parts.get("input", "").strip() else asked
        return [{"role": "user", "content": content}, {"role": _ANSWER, "content": answer}]
    is_without = layout.template_without_input is not None and not parts.get("input", "").strip()
    return _placed((layout.template_without_input if is_without else None) or layout.template, parts)


def _conversation(layout: InstructionLayout, document: Document, where: str, remarks: Remarks) -> str | Messages | None:
    key = layout.key("messages")
    messages = document.get(key)
    if not isinstance(messages, list):
        raise SourceError("no list of messages", where=where, got=", ".join(document), expected=f"a list under {key!r}")
    read: Messages = []
    has_answer = False
    for message in messages:
        if not isinstance(message, dict):
            expected = "an object with role and content"
            raise SourceError("a message that is no object", where=where, got=type(message).__name__, expected=expected)
        role = _first(message, ROLE_KEYS)
        if not isinstance(role, str) or role not in layout.roles:
            remarks.add(f"messages of the role {role} are left out", where)
            continue
        content = _content(message, where, remarks)
        if not content.strip():
            remarks.add("messages without text are left out", where)
            continue
        has_answer |= layout.roles[role] == _ANSWER
        read.append({"role": layout.roles[role], "content": content})
    if not has_answer and _ANSWER in layout.roles.values():
        remarks.add("conversations without an answer are left out", where)
        return None
    if not read:
        remarks.add("conversations without a message are left out", where)
        return None
    template = layout.template
    return read if template is None else "".join(_placed(template, message) for message in read)


def _content(message: Mapping[str, Any], where: str, remarks: Remarks) -> str:
    """The text of a message; of a list of parts, the texts among them."""
    content = _first(message, CONTENT_KEYS)
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise SourceError("the content of a message is no text", where=where, got=type(content).__name__)
    texts = []
    for part in content:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            remarks.add(f"parts of messages of the type {kind} are left out", where)
    return "\n".join(texts)


def _first(message: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((message[key] for key in keys if key in message), None)


def _placed(template: str, parts: Mapping[str, str]) -> str:
    """The template with the parts in place of their names; braces inside a part are left as they are."""
    return _PLACE.sub(lambda place: parts.get(place[1], place[0]), template)
