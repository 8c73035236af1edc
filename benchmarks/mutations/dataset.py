"""A dataset of known truth, its files in memory, and the mutations that any folder of files may meet."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from components.ingestion.sample import Sample

Row = tuple[Any, ...]  # what is compared of a sample: its split, its label, its content
Mutation = Callable[[Any], None]
WORDS = ("river", "stone", "quiet", "morning", "paper", "window", "summer", "train", "garden", "letter", "winter")
CLASSES = (("cat", "dog"), ("Bäume", "Straße", "Köfer"), ("ja", "nein"), ("red car", "blue car", "bus"))


class Dataset:
    """Base of the kinds of datasets.

    Attributes:
        task: name of the task that is to be recognised.
        words: what is read may differ from the truth if one of these stands in what the draft says.
        must: of each entry one must stand in what the draft says, even if all is read.
    """

    task: ClassVar[str]
    mutations: ClassVar[dict[str, Mutation]] = {}
    early: ClassVar[
        tuple[str, ...]
    ] = ()  # begins of the names of mutations that write all samples anew: they are first
    is_folder: ClassVar[bool] = True

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.words: list[str] = []
        self.must: list[tuple[str, ...]] = []
        self.extra: dict[str, bytes] = {}
        self.empty_folders: list[str] = []
        self.wrap = ""
        self.archive = ""
        self.backslashes = False

    def files(self) -> dict[str, bytes]:
        """The content of each file, by its path below the source."""
        raise NotImplementedError

    def truth(self) -> Counter[Row]:
        """The samples that a person sees in the files."""
        raise NotImplementedError

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        """What is compared of a sample that was read."""
        raise NotImplementedError

    def write(self, folder: Path) -> Path:
        """Write the files; returns the source: a folder, an archive, or a single file."""
        files = {**self.files(), **self.extra}
        if self.wrap:
            files = {f"{self.wrap}/{name}": content for name, content in files.items()}
        if self.archive:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"source{self.archive}"
            _pack(path, files, self.backslashes)
            return path
        for name, content in files.items():
            path = folder / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in self.empty_folders:
            (folder / "source" / name).mkdir(parents=True)
        if not self.is_folder and len(files) == 1:
            return folder / "source" / next(iter(files))
        return folder / "source"


def sentence(rng: random.Random, number: int, words: int = 6) -> str:
    """A sentence that no other number has."""
    digits = [WORDS[number // len(WORDS) ** place % len(WORDS)] for place in range(3)]
    return " ".join([*digits, *(rng.choice(WORDS) for _ in range(words - 3))])


def some(rng: random.Random, items: Sequence[Any], share: float = 0.3) -> list[Any]:
    """A share of the items, at least one."""
    return rng.sample(list(items), max(1, round(share * len(items))))


def _pack(path: Path, files: dict[str, bytes], backslashes: bool) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                if backslashes:  # as some programs write them; ZipInfo itself would turn them
                    entry.filename = name.replace("/", "\\")
                archive.writestr(entry, content)
        return
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _hidden(data: Dataset) -> None:
    data.extra |= {".DS_Store": b"\0\0\0\1Bud1", "__MACOSX/._x": b"\0\5\26\7", "Thumbs.db": b"\xd0\xcf\x11\xe0"}
    for name in list(data.files())[:3]:
        folder, _, last = name.rpartition("/")
        data.extra[f"{folder}/._{last}".lstrip("/")] = b"\0\5\26\7"
        data.extra[f"{folder}/desktop.ini".lstrip("/")] = b"[x]"


def _wrapped(data: Dataset) -> None:
    data.wrap = data.rng.choice(("my data", "Daten-ä", "data (1)"))


def _zip(data: Dataset) -> None:
    data.archive = ".zip"


def _zip_wrapped(data: Dataset) -> None:
    data.archive, data.wrap = ".zip", "photos"


def _tar_wrapped(data: Dataset) -> None:
    data.archive, data.wrap = ".tar.gz", "export"


def _zip_backslashes(data: Dataset) -> None:
    data.archive, data.backslashes = ".zip", True


FOLDER_MUTATIONS: dict[str, Mutation] = {
    "hidden and system files": _hidden,
    "a wrapping folder": _wrapped,
    "zip": _zip,
    "zip with a wrapping folder": _zip_wrapped,
    "tar.gz with a wrapping folder": _tar_wrapped,
    "zip with backslashes": _zip_backslashes,
}
