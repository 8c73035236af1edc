"""Files of lines: pairs of sentences, and tagged tokens."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, ClassVar

from benchmarks.mutations.dataset import FOLDER_MUTATIONS, Dataset, Mutation, Row, sentence, some
from components.ingestion.sample import Sample

SPLITS = ("train", "val", "test")
_STANDARD = {"val": "validation"}


class Pairs(Dataset):
    """`<split>.en` and `<split>.de`, line by line."""

    task: ClassVar[str] = "translation"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.split = True
        self.newline, self.encoding = "\n", "utf-8"
        self.pairs = [(sentence(rng, n), f"ein Satz für {sentence(rng, n)}") for n in range(60)]
        self.last_newline = True

    def files(self) -> dict[str, bytes]:
        files = {}
        for name, pairs in self.parts().items():
            for side, language in enumerate(("en", "de")):
                text = self.newline.join(pair[side] for pair in pairs) + (self.newline if self.last_newline else "")
                files[f"{name}.{language}"] = text.encode(self.encoding)
        return files

    def parts(self) -> dict[str, list[tuple[str, str]]]:
        if not self.split:
            return {"corpus": self.pairs}
        return {"train": self.pairs[:40], "val": self.pairs[40:50], "test": self.pairs[50:]}

    def truth(self) -> Counter[Row]:
        found: Counter[Row] = Counter()
        for name, pairs in self.parts().items():
            split = _STANDARD.get(name, name) if self.split else None
            found.update((split, *pair) for pair in pairs)
        return found

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, sample.values["source"], sample.values["target"])


class Tagged(Dataset):
    """CoNLL: a token and its tag a line."""

    task: ClassVar[str] = "token-classification"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.split = rng.random() < 0.5
        self.separator, self.newline, self.encoding = " ", "\n", "utf-8"
        self.scheme, self.middle, self.comments, self.document = "BIO", False, False, False
        self.sentences = [_sentence(rng, number) for number in range(60)]

    def files(self) -> dict[str, bytes]:
        files = {}
        parts = {"data": self.sentences}
        if self.split:
            parts = {"train": self.sentences[:40], "val": self.sentences[40:50], "test": self.sentences[50:]}
        for name, sentences in parts.items():
            lines = ["-DOCSTART- -X- O O", ""] if self.document else []
            for number, one in enumerate(sentences):
                lines += [f"# sent_id = {number}", f"# text = {one[0][0]}"] if self.comments else []
                tags = [tag for _, tag in one]
                for place, (token, _) in enumerate(one):
                    cells = [token, *(["NN"] if self.middle else []), _in_scheme(tags, place, self.scheme)]
                    lines.append(self.separator.join(cells))
                lines.append("")
            files[f"{name}.conll"] = self.newline.join(lines).encode(self.encoding)
        return files

    def truth(self) -> Counter[Row]:
        splits = [None] * 60 if not self.split else ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
        return Counter((split, *one) for split, one in zip(splits, self.sentences, strict=True))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, *zip(sample.values["tokens"], sample.values["tags"], strict=True))


def _sentence(rng: random.Random, number: int) -> tuple[tuple[str, str], ...]:
    kind = rng.choice(("PER", "LOC"))
    words = sentence(rng, number, 5).split()
    return (
        ("Anna", "B-PER"),
        *((word, "O") for word in words),
        ("New", f"B-{kind}"),
        ("Köln", f"I-{kind}"),
        (".", "O"),
    )


def _in_scheme(tags: list[str], place: int, scheme: str) -> str:
    """A tag of BIO in BIOES or BILOU."""
    tag = tags[place]
    if scheme == "BIO" or tag == "O":
        return tag
    ends = place + 1 == len(tags) or tags[place + 1][:2] != "I-"
    single, last = ("S-", "E-") if scheme == "BIOES" else ("U-", "L-")
    if tag[:2] == "B-":
        return (single if ends else "B-") + tag[2:]
    return (last if ends else "I-") + tag[2:]


def _set(**values: Any) -> Mutation:
    def mutate(data: Any) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def _unequal(data: Pairs) -> None:
    files = data.files
    name = "train.de" if data.split else "corpus.de"
    data.files = lambda: {**files(), name: files()[name] + b"noch ein Satz" + data.newline.encode()}  # type: ignore[method-assign]
    data.must.append(("same lines",))


def _empty_line(data: Pairs) -> None:
    data.pairs[3] = (data.pairs[3][0], "")
    data.must.append(("empty",))


def _odd_breaks(data: Pairs) -> None:
    for number in some(data.rng, range(len(data.pairs)), 0.1):
        source, target = data.pairs[number]
        data.pairs[number] = (source.replace(" ", "\u2028", 1), target.replace(" ", "\x0c", 1))


def _doubled(data: Pairs) -> None:
    data.pairs[55] = data.pairs[0]
    data.must.append(("stand in two splits",)) if data.split else None


def _readme(data: Dataset) -> None:
    data.extra["README.md"] = b"# about\nsome words\n"


def _odd_tokens(data: Tagged) -> None:
    for number in some(data.rng, range(len(data.sentences)), 0.2):
        blank = data.rng.choice(("\u00a0", "\u3000", "\u200b", "#", "#tag", '"', "\\"))
        data.sentences[number] = (*data.sentences[number], (blank, "O"))


def _hash_comments(data: Tagged) -> None:
    data.comments = True
    data.must.append(("comments",))


def _spaces(data: Tagged) -> None:
    data.separator = "   "


def _no_tag(data: Tagged) -> None:
    files = data.files
    data.files = lambda: {name: text + b"\nword\n" for name, text in files().items()}  # type: ignore[method-assign]
    data.must.append(("no tagged token",))


Pairs.mutations = {
    **FOLDER_MUTATIONS,
    "one pair of files": _set(split=False),
    "CRLF": _set(newline="\r\n"),
    "CR": _set(newline="\r"),
    "byte order mark": _set(encoding="utf-8-sig"),
    "UTF-16": _set(encoding="utf-16"),
    "cp1252": _set(encoding="cp1252"),
    "no newline at the end": _set(last_newline=False),
    "unequal lengths": _unequal,
    "an empty line": _empty_line,
    "odd line breaks inside": _odd_breaks,
    "a pair in two splits": _doubled,
    "a README": _readme,
}
Tagged.mutations = {
    **FOLDER_MUTATIONS,
    "one file": _set(split=False),
    "CRLF": _set(newline="\r\n"),
    "byte order mark": _set(encoding="utf-8-sig"),
    "UTF-16": _set(encoding="utf-16"),
    "cp1252": _set(encoding="cp1252"),
    "tabs": _set(separator="\t"),
    "several blanks": _spaces,
    "columns between": _set(middle=True),
    "DOCSTART": _set(document=True, middle=True),
    "comments": _hash_comments,
    "BIOES": _set(scheme="BIOES"),
    "BILOU": _set(scheme="BILOU"),
    "odd tokens": _odd_tokens,
    "a line without tag": _no_tag,
    "a README": _readme,
}
