"""Which split a file belongs to, by its name and its folders; several files may belong to one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.core.errors import SourceError
from components.ingestion.sample import split_name

_IN_NAMES = ("train", "valid", "dev", "test")  # emerging.dev.conll, wnut17train.conll

Files = dict[str, str | list[str]]


def by_split(paths: Sequence[Path], source: Path) -> dict[str, list[Path]]:
    """The files of each split, sorted; a single file has none (""): all splits are drawn from it.

    Two spellings of a split (`dev`, `val`) are one.

    Raises:
        SourceError: there are several files, and the name of one says no split, or more than one.
    """
    if len(paths) == 1:
        return {"": list(paths)}
    found: dict[str, list[Path]] = {}
    spelled: dict[str, str] = {}
    for path in sorted(paths):
        word = split_of(path, source)
        found.setdefault(spelled.setdefault(split_name(word, path.name), word), []).append(path)
    return found


def as_layout(files: dict[str, list[Path]], source: Path) -> Files:
    """As a layout's `files:`, relative to the source: one name, or a list."""
    names = {split: [path.relative_to(source).as_posix() for path in paths] for split, paths in files.items()}
    return {split: found[0] if len(found) == 1 else found for split, found in names.items()}


def split_of(path: Path, source: Path) -> str:
    """The split in the name of a file, or of its nearest folder that names one.

    Raises:
        SourceError: there is none, or the name says several.
    """
    for words in _words(path, source):
        splits = {split_name(word, ""): word for word in reversed(words) if is_split(word)}
        if len(splits) > 1:
            raise SourceError(
                "a name that says several splits", where=str(source), got=path.name, expected="one of train, "
                "validation (val, dev), test",
            )  # fmt: skip
        if splits:
            return next(iter(splits.values()))
    raise SourceError(
        "several files, and this one's name says no split",
        where=str(source),
        got=path.relative_to(source).as_posix() if path.is_relative_to(source) else path.name,
        expected="train, validation (val, dev) or test in the name",
        next_step="name the files after their splits, or leave one file, whose samples are split by drawing",
    )


def is_split(word: str) -> bool:
    """Whether a word is the name of a split."""
    try:
        split_name(word, "")
    except SourceError:
        return False
    return True


def _words(path: Path, source: Path) -> Iterable[list[str]]:
    """Words that may name the split, the most telling ones first."""
    yield [word for word in re.split(r"[^a-z]+", path.name.lower()) if word]
    yield [split for split in _IN_NAMES if split in path.stem.lower()]
    folders = path.relative_to(source).parts[:-1] if path.is_relative_to(source) else path.parts[-2:-1]
    for folder in reversed(folders):
        yield [word for word in re.split(r"[^a-z]+", folder.lower()) if word]
