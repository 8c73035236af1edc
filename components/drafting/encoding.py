"""The encoding of a text file: by its byte order mark, as UTF-8, or guessed."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from components.core.errors import SourceError
from components.ingestion import text_encoding, text_lines

_BLOCK = 1 << 20
_SAMPLE = 1 << 18  # bytes of lines that are not ASCII, for a guess
_DAMAGED = 0.5  # below this share of bytes that are not UTF-8 among those that are not ASCII, the file is damaged UTF-8
# Encodings that a file of today can have, with what a guess costs: between code pages of one byte a character,
# charset_normalizer's figures differ little, and Windows-1252 is by far the most usual.
_CANDIDATES = {
    "cp1252": 0.0, "cp1250": 0.1, "cp1251": 0.1, "gb18030": 0.1, "shift_jis": 0.1, "euc_kr": 0.1, "big5": 0.1,
    "cp1253": 0.2, "cp1254": 0.2, "cp1257": 0.2, "koi8_r": 0.2, "euc_jp": 0.2,
}  # fmt: skip


class Encoding(NamedTuple):
    """An encoding as `encoding:` in dataset.yaml; `note` says how it was recognised, "" for UTF-8."""

    name: str
    note: str


def recognise(path: Path) -> Encoding:
    """The encoding of a file, plain or gzip; every byte is looked at.

    Raises:
        SourceError: the file is binary or damaged, or its encoding cannot be guessed.
    """
    head = text_encoding.first_bytes(path, 4096)
    if (marked := text_encoding.mark_of(head)) is not None:
        return Encoding(marked, "" if marked == "utf-8" else f"the encoding is {marked}, by its byte order mark")
    if head.count(0) > len(head) / 5:
        name = text_encoding.zeros_of(head)
        if decodes(path, name):
            return Encoding(name, f"the encoding is a guess: {name}, as every other byte is zero")
        raise SourceError("the file is not text", where=str(path), got="zero bytes")
    if decodes(path, "utf-8"):
        return Encoding("utf-8", "")
    strict, wrong = _utf8_damage(path)
    if wrong < _DAMAGED * (wrong + strict):
        return Encoding("utf-8", f"UTF-8 with {wrong:,} damaged places")
    return _guess(path)


def of_files(paths: Sequence[Path]) -> Encoding:
    """The one encoding of many files; those that are not text in it are few, or there are none.

    Files with a byte order mark say their own encoding. If less than half of the others that are not ASCII are not
    UTF-8, these are damaged.

    Raises:
        SourceError: the encoding cannot be guessed, or some files are in it and some in UTF-8; names one of each.
    """
    utf8: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if text_encoding.mark_of(text_encoding.first_bytes(path, 4)) is None and not decodes(path, "ascii"):
            (utf8 if decodes(path, "utf-8") else others).append(path)
    if not others:
        return Encoding("utf-8", "")
    if len(others) < _DAMAGED * (len(others) + len(utf8)):
        return Encoding("utf-8", f"{len(others):,} files are not UTF-8, and have damaged places ({others[0].name})")
    sample = bytearray()
    for path in others:
        sample += _uncommon_lines(path, _SAMPLE - len(sample))
        if len(sample) >= _SAMPLE:
            break
    for name in _guesses(bytes(sample)):
        if utf8:
            raise SourceError(
                "files in several encodings",
                where=str(others[0]),
                got=f"{len(others):,} files, perhaps {name}; {len(utf8):,} in UTF-8 ({utf8[0].name})",
                expected="one encoding",
                next_step="save all files as UTF-8",
            )
        if all(decodes(path, name) for path in others):
            return Encoding(name, f"the encoding is a guess, as {len(others):,} files are not UTF-8: {name}")
    raise SourceError(
        "the encoding of the files is not recognised",
        where=str(others[0]),
        got=f"{len(others):,} files that are not UTF-8, and in no one encoding",
        next_step="save all files as UTF-8",
    )


def _utf8_damage(path: Path) -> tuple[int, int]:
    """Number of characters that are not ASCII, and of places that are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    characters = wrong = 0
    for block in _blocks(path):
        if block.isascii() and not decoder.getstate()[0]:
            continue
        text = decoder.decode(block)
        damaged = text.count("\ufffd")
        wrong += damaged
        characters += sum(character > "\x7f" for character in text) - damaged
    wrong += decoder.decode(b"", final=True).count("\ufffd")
    return characters, wrong


def _guess(path: Path) -> Encoding:
    for name in _guesses(_uncommon_lines(path, _SAMPLE)):
        if decodes(path, name):
            return Encoding(name, f"the encoding is a guess, as the file is not UTF-8: {name}")
    raise SourceError("the encoding of the file is not recognised", where=str(path), next_step="save the file as UTF-8")


def _guesses(sample: bytes) -> list[str]:
    """Encodings that a text can have, the likeliest first."""
    from charset_normalizer import from_bytes

    costs: dict[str, float] = {}
    for name, cost in _CANDIDATES.items():
        found = from_bytes(sample, cp_isolation=[name], threshold=1.0).best()
        if found is not None:
            costs[name] = found.chaos - 0.5 * found.coherence + cost
    return sorted(costs, key=lambda one: costs[one])


def _uncommon_lines(path: Path, most: int) -> bytes:
    """The first lines that are not ASCII, about `most` bytes of them."""
    sample = bytearray()
    with text_lines.open_bytes(path) as stream:
        for line in stream:
            if not line.isascii():
                sample += line
            if len(sample) > most:
                break
    return bytes(sample)


def decodes(path: Path, name: str) -> bool:
    """Whether a whole file is text in an encoding."""
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        for block in _blocks(path):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _blocks(path: Path) -> Iterator[bytes]:
    with text_lines.readable(path), text_lines.open_bytes(path) as stream:
        while block := stream.read(_BLOCK):
            yield block


def strict_lines(path: Path, count: int) -> list[str]:
    """The first lines of a file in UTF-8, or in the encoding that its byte order mark names.

    Raises:
        SourceError: the file is empty or damaged.
        UnicodeDecodeError: the first lines are not text in this encoding.
    """
    name = text_encoding.mark_of(text_encoding.first_bytes(path, 4)) or "utf-8"
    name = "utf-8-sig" if name == "utf-8" else name
    with text_lines.readable(path), text_lines.open_bytes(path) as raw, io.TextIOWrapper(raw, encoding=name) as text:
        lines = [line.rstrip("\r\n") for line in islice(text, count)]
    if not lines:
        raise SourceError("the file is empty", where=str(path))
    return lines
