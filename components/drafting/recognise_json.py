"""Recognise JSON files of annotation tools and of language models: Label Studio, doccano, instructions, messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.annotation_layout import PARTS
from components.contracts.chat_template import MESSAGE, MESSAGES
from components.core.errors import SourceError
from components.drafting import encoding
from components.drafting.cells import GROUPS, LABELS, TEXTS
from components.drafting.draft_options import DraftOptions
from components.drafting.recognised import Recognised
from components.drafting.split_files import as_layout, by_split
from components.ingestion import image_names, instructions, json_documents, label_studio
from components.ingestion.coco import Finder
from components.ingestion.json_documents import Document

SUFFIXES = (".json", ".jsonl", ".ndjson")
_HEAD = 200  # objects that tell what a file holds
_SPANS = ("label", "labels", "spans", "entities", "annotations", "tags", "ner")
_FORMS = (  # the names of the parts, in the order of `PARTS` of the layout; an input may be absent
    ("instruction", ("instruction", "input", "output")), ("instruction", ("instruction", "context", "response")),
    ("instruction", ("instruction", "input", "response")), ("instruction", ("instruction", "input", "completion")),
    ("prompt", ("prompt", "completion")), ("prompt", ("prompt", "response")), ("prompt", ("prompt", "output")),
    ("prompt", ("question", "answer")), ("prompt", ("query", "response")),
)  # fmt: skip
_GROUPS = (
    *GROUPS, "conversation", "conversation_id", "conv_id", "thread", "thread_id", "dialog", "dialog_id", "dialogue",
    "dialogue_id", "chat_id", "document_id", "doc_id", "article_id", "page_id", "source_id", "message_tree_id",
)  # fmt: skip
_MESSAGES = ("messages", "conversations", "conversation")
_ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "model": "assistant", "bot": "assistant",
}  # fmt: skip
WITH_INPUT = "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{output}"
WITHOUT_INPUT = "### Instruction:\n{instruction}\n\n### Response:\n{output}"
PROMPT, PROMPT_LINE = "{prompt}{completion}", "{prompt}\n{completion}"


class _File(NamedTuple):
    """A JSON file and its first objects."""

    path: Path
    encoding: str
    note: str
    head: list[Document]


def recognise(
    source: Path, paths: Sequence[Path], options: DraftOptions, beside: Sequence[Path] = ()
) -> Recognised | None:  # fmt: skip
    """The layout of JSON files with annotations or instructions; None if there are none.

    Args:
        beside: images beside a single file, which it may name.

    Raises:
        SourceError: the files are not alike, or what was annotated is not clear or not there.
    """
    read = [file for path in paths if is_json(path) and (file := _open(path)) is not None]
    for kind in (_label_studio, _spans, _instructions):
        fitting = [(file, layout) for file in read if (layout := kind(file)) is not None]
        if not fitting:
            continue
        files, layouts = [file for file, _ in fitting], [layout for _, layout in fitting]
        found = layouts[0]
        if any(layout != found for layout in layouts):
            got = ", ".join(file.path.name for file in files[:5])
            raise SourceError("the files of the data are not alike", where=str(source), got=got,
                              expected=f"the keys of {files[0].path.name} in all")  # fmt: skip
        found = {**found, "files": as_layout(by_split([file.path for file in files], source), source)}
        if found["kind"] == "label_studio":
            found = _completed(found, files, source, [*paths, *beside])
        elif files[0].encoding != "utf-8":
            found["encoding"] = files[0].encoding
        if found["kind"] == "instructions" and options.demands(MESSAGES):
            found = {key: value for key, value in found.items() if not key.startswith("template")}
        if found["kind"] == "instructions" and (group := _group(found, files)) is not None:
            found["group"] = group
        recognised = Recognised(found, _why(found, files), tuple(_remarks(found, files, source, paths)))
        return recognised if all(map(options.allows, recognised.fields)) else None
    return None


def is_json(path: Path) -> bool:
    """Whether a file is JSON or JSON lines by its name."""
    return Path(path.name.removesuffix(".gz")).suffix.lower() in SUFFIXES


def _open(path: Path) -> _File | None:
    """A file of JSON objects; None for another one."""
    try:
        coded = encoding.recognise(path)
        head = [document for _, document in islice(json_documents.read(path, coded.name), _HEAD)]
    except SourceError:
        return None
    return _File(path, coded.name, coded.note, head) if head else None


def _label_studio(file: _File) -> dict[str, Any] | None:
    """`data` and `content`; what is read follows from all files."""
    return {"kind": "label_studio"} if all(map(label_studio.is_task, file.head)) else None


def _spans(file: _File) -> dict[str, Any] | None:
    text = next((name for name in TEXTS if any(isinstance(one.get(name), str) for one in file.head)), None)
    if text is None:
        return None
    for name in _SPANS:
        lists = [one[name] for one in file.head if isinstance(one.get(name), list)]
        if any(lists) and all(_is_span(entry) for entries in lists for entry in entries):
            return {"kind": "spans", "text": text, "spans": name}
    return None


def _is_span(entry: Any) -> bool:
    if isinstance(entry, list):
        return len(entry) == 3 and isinstance(entry[0], int) and isinstance(entry[1], int) and isinstance(entry[2], str)
    if not isinstance(entry, dict) or not {"label", "labels"} & entry.keys():
        return False
    return {"start_offset", "end_offset"} <= entry.keys() or {"start", "end"} <= entry.keys()


def _instructions(file: _File) -> dict[str, Any] | None:
    names = Counter(name for one in file.head for name in one)
    for name in _MESSAGES:
        messages = [message for one in file.head for message in _list(one.get(name))]
        if messages and all(_is_message(message) for message in messages):
            keys = {"messages": name} if name != "messages" else {}
            roles = {str(message.get("role", message.get("from"))) for message in messages}
            read = {role: standard for role, standard in _ROLES.items() if role in roles or role == standard}
            layout = {"form": "messages", "keys": keys, "template": MESSAGE, "roles": read}
            return {"kind": "instructions", **{key: value for key, value in layout.items() if value}}
    has_label = any(name.strip().lower() in LABELS for name in names)
    for form, given in _FORMS:
        if form == "prompt" and has_label:  # a classification of prompts
            continue
        needed = [name for name in given if name not in ("input", "context")]
        if not all(name in names for name in needed) or not all(
            isinstance(one.get(name), str | None) for one in file.head for name in given
        ):
            continue
        parts = ("instruction", "input", "output") if form == "instruction" else ("prompt", "completion")
        keys = {part: name for part, name in zip(parts, given, strict=True) if part != name and name in names}
        layout = {
            "form": form,
            "keys": keys,
            "template": WITH_INPUT if form == "instruction" else _joined(file.head, given),
        }
        layout |= {"template_without_input": WITHOUT_INPUT} if form == "instruction" else {}
        return {"kind": "instructions", **{key: value for key, value in layout.items() if value}}
    return None


def _group(layout: dict[str, Any], files: Sequence[_File]) -> str | None:
    """The key whose name says that it tells what objects belong to, if all have one and several have the same."""
    heads = [one for file in files for one in file.head]
    parts = {layout.get("keys", {}).get(part, part) for part in PARTS[layout["form"]]}
    for name in dict.fromkeys(name for one in heads for name in one):
        if name.strip().lower() not in _GROUPS or name in parts:
            continue
        values = [one.get(name) for one in heads]
        given = [value for value in values if isinstance(value, str | int) and str(value).strip()]
        if len(given) == len(heads) and 2 < len(set(map(str, given))) < len(heads):
            return name
    return None


def _joined(head: Sequence[Document], keys: Sequence[str]) -> str:
    """The template of prompts: a line end between the parts, unless these bring a blank of their own."""
    pairs = [(one.get(keys[0]) or "", one.get(keys[1]) or "") for one in head]
    has_blank = all(one[-1:].isspace() or other[:1].isspace() for one, other in pairs if one and other)
    return PROMPT if has_blank else PROMPT_LINE


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and any(key in message for key in instructions.ROLE_KEYS)


def _completed(layout: dict[str, Any], files: Sequence[_File], source: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """What the tasks of Label Studio hold, by the results of all of them."""
    results = list(_results(files))
    kinds = Counter(kind for _, kind, _ in results)
    read = next((name for name in ("boxes", "spans", "label") if kinds[label_studio.TYPES[name][0]]), None)
    if read is None:
        got = ", ".join(kinds) or "no annotation that was not cancelled"
        raise SourceError("nothing in the annotations that is read", where=str(files[0].path), got=got,
                          expected="choices, labels of a text, or rectanglelabels of an image")  # fmt: skip
    controls = sorted({str(control) for control, kind, _ in results if kind in label_studio.TYPES[read]})
    if len(controls) > 1:
        layout["control"] = controls[0]
    if read == "label" and any(several for control, _, several in results if control == controls[0]):
        read = "labels"
    data, content = _data(files, source, paths, is_image=read == "boxes", is_text=read == "spans")
    layout |= {"data": data, "read": read, "content": content}
    if content == "image":
        layout |= {"images": "."}
    return layout


def _results(files: Sequence[_File]) -> Iterator[tuple[str, str, bool]]:
    """Control and type of each result, and whether it has several choices."""
    for file in files:
        for _, document in json_documents.read(file.path, file.encoding):
            results, _ = label_studio.results_of(document)
            for result in results or ():
                value = result.get("value")
                choices = value.get("choices") if isinstance(value, dict) else None
                yield str(result.get("from_name")), str(result.get("type")), len(_list(choices)) > 1


def _data(
    files: Sequence[_File], source: Path, paths: Sequence[Path], *, is_image: bool, is_text: bool
) -> tuple[str, str]:  # fmt: skip
    """The key of `data` that was annotated, and whether it is a text or an image.

    Raises:
        SourceError: there is none, or its image is not there.
    """
    first = files[0].head[0]["data"]
    has_images = any(path.suffix.lower() in image_names.SUFFIXES for path in paths)
    for name, value in first.items():
        if isinstance(value, str) and not is_text and has_images and _is_file(value):
            label_studio.find_image(Finder(source, files[0].path), value, f"{files[0].path} entry 1")
            return name, "image"
    texts = [name for name, value in first.items() if isinstance(value, str) and not _is_file(value)]
    is_image = is_image or any(isinstance(value, str) and _is_file(value) for value in first.values())
    if not texts or (is_image and not any(name.lower() in TEXTS for name in texts)):
        got = ", ".join(f"{name}: {str(value)[:60]}" for name, value in first.items())
        what = "images were annotated, and they are not there" if is_image else "no text in the data of a task"
        raise SourceError(what, where=str(files[0].path), got=got, expected=f"image files below {source}")
    named = [name for name in texts if name.lower() in TEXTS]
    return (named or texts)[0], "text"


def _is_file(value: str) -> bool:
    """Whether a value of a task's data is the name of an image."""
    return "\n" not in value and Path(label_studio.local_name(value)).suffix.lower() in image_names.SUFFIXES


def _why(layout: dict[str, Any], files: Sequence[_File]) -> str:
    note = f"; {files[0].note}" if files[0].note else ""
    if layout["kind"] == "label_studio":
        return f"Label Studio: {layout['read']} of each {layout['content']} ({layout['data']})"
    if layout["kind"] == "spans":
        return f"texts ({layout['text']}) and spans ({layout['spans']}), as doccano exports them{note}"
    if layout["form"] == "messages":
        return f"conversations ({layout.get('keys', {}).get('messages', 'messages')}) for a language model{note}"
    return f"{layout['form']}s and what is answered, for a language model{note}"


def _remarks(
    layout: dict[str, Any], files: Sequence[_File], source: Path, paths: Sequence[Path]
) -> Iterator[str]:  # fmt: skip
    if layout["kind"] == "instructions":
        if "template" in layout:
            template = layout["template"]
            yield f"the texts are made by the template {template!r}, and all of a text is learnt, the prompt too"
        else:
            yield "the samples are conversations; the chat template of the model writes them, and answers are learnt"
        used = {layout.get("keys", {}).get(part, part) for part in PARTS[layout["form"]]} | {layout.get("group")}
        if layout.get("group") is not None:
            yield f"texts of equal {layout['group']} are kept in one split"
        for name in sorted({name for file in files for one in file.head for name in one} - used):
            yield f"the key {name} is left out"
    if layout.get("control") is not None:
        yield f"several questions were asked; the answers to {layout['control']} are read"
    read = {file.path for file in files}
    has_images = layout.get("content") == "image"
    others = [path for path in paths if path not in read
              and not (has_images and path.suffix.lower() in image_names.SUFFIXES)]  # fmt: skip
    if others:
        shown = ", ".join(path.relative_to(source).as_posix() for path in others[:5])
        yield f"{len(others):,} other files are left out ({shown}{', …' if len(others) > 5 else ''})"
