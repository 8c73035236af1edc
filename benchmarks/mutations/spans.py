"""Texts with labelled spans in JSON, as doccano and Label Studio export them."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any, ClassVar

from benchmarks.mutations.dataset import FOLDER_MUTATIONS, Dataset, Mutation, Row, sentence
from components.ingestion.sample import Sample

Token = tuple[str, str]  # a word and its BIO tag


class Spans(Dataset):
    """`[<split>].jsonl` of doccano, or a list of tasks of Label Studio."""

    task: ClassVar[str] = "token-classification"
    mutations: ClassVar[dict[str, Mutation]] = {}
    early: ClassVar[tuple[str, ...]] = ("form",)

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.split = rng.random() < 0.5
        self.form, self.as_list, self.newline, self.encoding = "lists", False, "\n", "utf-8"
        self.unit = "characters"
        self.sentences = [_sentence(rng, number) for number in range(60)]
        self.odd: list[dict[str, Any]] = []  # documents that are no samples

    def files(self) -> dict[str, bytes]:
        parts = {"data": self.sentences}
        if self.split:
            parts = {"train": self.sentences[:40], "val": self.sentences[40:50], "test": self.sentences[50:]}
        files = {}
        for place, (name, sentences) in enumerate(parts.items()):
            documents = [self.document(one) for one in sentences] + (self.odd if place == 0 else [])
            lines = [json.dumps(one, ensure_ascii=False) for one in documents]
            text = f"[{','.join(lines)}]" if self.as_list else "".join(line + self.newline for line in lines)
            files[f"{name}.json{'' if self.as_list else 'l'}"] = text.encode(self.encoding)
        return files

    def document(self, tokens: tuple[Token, ...]) -> dict[str, Any]:
        text = " ".join(word for word, _ in tokens)
        spans = [(self.offset(text, begin), self.offset(text, end), label) for begin, end, label in _spans(tokens)]
        if self.form == "objects":
            entities = [{"start_offset": one, "end_offset": two, "label": label} for one, two, label in spans]
            return {"text": text, "entities": entities}
        if self.form == "lists":
            return {"id": 1, "text": text, "label": [list(span) for span in spans]}
        plain = _spans(tokens)
        results = [
            {"from_name": "ner", "to_name": "text", "type": "labels",
             "value": {"start": one, "end": two, "text": text[begin:end], "labels": [label]}}
            for (one, two, label), (begin, end, _) in zip(spans, plain, strict=True)
        ]  # fmt: skip
        return {"id": 1, "data": {"text": text}, "annotations": [{"was_cancelled": False, "result": results}]}

    def offset(self, text: str, place: int) -> int:
        return place if self.unit == "characters" else len(text[:place].encode("utf-16-le")) // 2

    def truth(self) -> Counter[Row]:
        splits = [None] * 60 if not self.split else ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
        return Counter((split, *one) for split, one in zip(splits, self.sentences, strict=True))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, *zip(sample.values["tokens"], sample.values["tags"], strict=True))


def _sentence(rng: random.Random, number: int) -> tuple[Token, ...]:
    kind = rng.choice(("PER", "LOC"))
    words = sentence(rng, number, 5).split()
    tokens = [("Änne", "B-PER"), *((word, "O") for word in words), ("New", f"B-{kind}"), ("Köln", f"I-{kind}")]
    return (*tokens, (".", "O"))


def _spans(tokens: tuple[Token, ...]) -> list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    begin = 0
    for word, tag in tokens:
        end = begin + len(word)
        if tag.startswith("B-"):
            spans.append((begin, end, tag[2:]))
        elif tag.startswith("I-"):
            spans[-1] = (spans[-1][0], end, tag[2:])
        begin = end + 1
    return spans


def _set(**values: Any) -> Mutation:
    def mutate(data: Spans) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def _no_spans(data: Spans) -> None:
    for number in (0, 7, 45):
        data.sentences[number] = tuple((word, "O") for word, _ in data.sentences[number])
    data.must.append(("have no span", "empty annotation"))


def _emoji(unit: str) -> Mutation:
    def mutate(data: Spans) -> None:
        if unit != "characters":
            data.form = "tasks"
            data.must.append(("utf-16",))
        data.unit = unit
        for number in range(0, 60, 3):
            data.sentences[number] = (("😀", "O"), *data.sentences[number])

    return mutate


def _overlap(data: Spans) -> None:
    data.form = "lists"
    data.odd.append({"text": "Änne Köln", "label": [[0, 9, "PER"], [5, 9, "LOC"]]})
    data.must.append(("overlap",))


def _beyond(data: Spans) -> None:
    data.form = "lists"
    data.odd.append({"text": "Änne Köln", "label": [[0, 10, "PER"]]})
    data.must.append(("outside its text",))


def _cancelled(data: Spans) -> None:
    data.form = "tasks"
    task = data.document(data.sentences[0])
    task["annotations"][0]["was_cancelled"] = True
    data.odd.append(task)
    data.must.append(("cancelled",))


def _not_annotated(data: Spans) -> None:
    data.form = "tasks"
    data.odd.append({"id": 3, "data": {"text": "noch nicht"}, "annotations": []})
    data.must.append(("left out",))


Spans.mutations = {
    **FOLDER_MUTATIONS,
    "one file": _set(split=False),
    "CRLF": _set(newline="\r\n"),
    "byte order mark": _set(encoding="utf-8-sig"),
    "a list": _set(as_list=True),
    "form: objects with offsets": _set(form="objects"),
    "form: tasks of Label Studio": _set(form="tasks"),
    "form: cancelled annotations": _cancelled,
    "form: tasks without annotations": _not_annotated,
    "form: overlapping spans": _overlap,
    "form: a span beyond its text": _beyond,
    "texts without spans": _no_spans,
    "emoji": _emoji("characters"),
    "form: emoji, offsets of a browser": _emoji("utf-16"),
}
