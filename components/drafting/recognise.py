"""Recognise the layout of files from their names and first lines, and the task that reads their samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from components import tasks
from components.contracts.dataset_layout import Layout
from components.core.errors import SourceError
from components.drafting import columns
from components.ingestion.sample import split_name

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
TABLES = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
NO_LANGUAGES = ("md", "py", "sh", "gz", "xz", "js", "db", "ds", "go")
_LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)
TAG = re.compile(r"^(O|[BIESLU]-\S+)$")
KINDS = (
    "class folders of images, Pascal VOC, COCO, WAV files, CoNLL, line-aligned text pairs, "
    "or CSV, TSV and Parquet with labels, texts, values or a time"
)


class Recognised(NamedTuple):
    """A recognised layout.

    Args:
        layout: as in dataset.yaml; `kind: folder` for a source that is a folder of class folders.
        why: how the layout was recognised.
    """

    layout: dict[str, Any]
    why: str

    @property
    def task(self) -> str | None:
        """The task that reads the fields of the layout's samples; None if there is none."""
        layout: Layout = _LAYOUT.validate_python(self.layout)
        return tasks.of_fields(layout.fields)


def innermost_folder(source: Path) -> Path:
    """Descend while a folder has a single entry and that entry is a folder; return the last folder."""
    while source.is_dir():
        children = [path for path in source.iterdir() if not path.name.startswith(".")]
        if len(children) != 1 or not children[0].is_dir():
            break
        source = children[0]
    return source


def recognise(source: Path) -> Recognised:
    """Recognise the layout of a file or a folder.

    Raises:
        SourceError: there is no such file or folder, or its layout is not recognised.
    """
    if source.is_file():
        return _table({"": [source]}, source.parent)
    if not source.is_dir():
        raise SourceError("no such file or folder", where=str(source))
    files = sorted(path for path in source.rglob("*") if path.is_file() and not _hidden(path.relative_to(source)))
    for recogniser in (_voc, _coco, _wav, _class_folders, _pairs, _conll, _tables):
        recognised = recogniser(source, files)
        if recognised is not None:
            return recognised
    kinds = sorted({path.suffix or path.name for path in files})
    raise SourceError(
        "the layout of the files is not recognised",
        where=str(source),
        got=f"{len(files)} files: {', '.join(kinds[:8])}" if files else "no file",
        expected=KINDS,
        next_step="write data/NAME/dataset.yaml by hand; `modelyard schema --dataset` says what is allowed",
    )


def _voc(source: Path, files: Sequence[Path]) -> Recognised | None:
    for folder in sorted({path.parent.parent for path in files if path.parent.name == "Annotations"}):
        if (folder / "JPEGImages").is_dir():
            relative = folder.relative_to(source).as_posix()
            return Recognised({"kind": "voc", "root": relative}, "Pascal VOC: JPEGImages, Annotations")
    return None


def _coco(source: Path, files: Sequence[Path]) -> Recognised | None:
    annotations: dict[str, str] = {}
    images: dict[str, str] = {}
    for path in files:
        if path.suffix != ".json":
            continue
        document = _read_json(path)
        if not isinstance(document, dict) or not {"images", "annotations", "categories"} <= document.keys():
            continue
        split = _split_of(path, source)
        first = Path(str(document["images"][0]["file_name"])).name if document["images"] else ""
        folder = next((image.parent for image in files if image.name == first), None)
        if folder is None:
            continue
        annotations[split] = path.relative_to(source).as_posix()
        images[split] = folder.relative_to(source).as_posix()
    if not annotations:
        return None
    return Recognised({"kind": "coco", "annotations": annotations, "images": images}, "COCO annotations")


def _wav(source: Path, files: Sequence[Path]) -> Recognised | None:
    sounds = [path.relative_to(source) for path in files if path.suffix.lower() == ".wav"]
    if not sounds or len(sounds) * 2 < len(files):
        return None
    suffix = sounds[0].suffix
    folders = {path.parent for path in sounds}
    if len(folders) > 1 and all(len(path.parts) == 2 for path in sounds):
        layout = {"kind": "wav", "root": ".", "pattern": f"{{label}}/{{name}}{suffix}"}
        return Recognised(layout, f"WAV files in {len(folders)} folders, one a class")
    parts = {len(path.stem.split("_")) for path in sounds}
    if len(parts) != 1 or parts == {1} or len(folders) != 1:
        raise SourceError(
            "WAV files whose names do not say their classes alike",
            where=str(source),
            got=", ".join(str(path) for path in sounds[:3]),
            expected="<class>/<name>.wav, or <class>_<name>.wav",
        )
    names = ["label", *(f"part_{number}" for number in range(2, parts.pop() + 1))]
    pattern = "_".join(f"{{{name}}}" for name in names) + suffix
    layout = {"kind": "wav", "root": folders.pop().as_posix(), "pattern": pattern}
    return Recognised(layout, "WAV files named after their class")


def _class_folders(source: Path, files: Sequence[Path]) -> Recognised | None:
    images = [path.relative_to(source) for path in files if path.suffix.lower() in IMAGES]
    if not images or len(images) * 2 < len(files):
        return None
    depths = {len(path.parts) for path in images}
    classes = sorted({path.parts[-2] for path in images if len(path.parts) > 1})
    if depths == {2} and len(classes) > 1:
        return Recognised({"kind": "folder"}, f"images in {len(classes)} folders, one a class")
    if depths == {3} and len(classes) > 1 and all(_is_split(path.parts[0]) for path in images):
        why = f"images in {len(classes)} class folders a split"
        return Recognised({"kind": "folder", "splits": True}, why)
    return None


def _pairs(source: Path, files: Sequence[Path]) -> Recognised | None:
    sides: dict[str, dict[str, Path]] = {}
    for path in files:
        stem, _, language = path.name.removesuffix(".gz").rpartition(".")
        if stem and re.fullmatch(r"[a-z]{2}", language) and language not in NO_LANGUAGES:
            sides.setdefault(language, {})[stem] = path
    languages = sorted(sides, key=lambda name: (name != "en", name))
    if len(languages) != 2 or sides[languages[0]].keys() != sides[languages[1]].keys():
        return None
    stems = sorted(sides[languages[0]])
    splits = {stem: _split_of(Path(stem), source) if len(stems) > 1 else "" for stem in stems}
    named = [
        {splits[stem]: sides[language][stem].relative_to(source).as_posix() for stem in stems} for language in languages
    ]
    layout = {"kind": "pairs", "source": named[0], "target": named[1]}
    return Recognised(layout, f"lines of {languages[0]} beside lines of {languages[1]}")


def _conll(source: Path, files: Sequence[Path]) -> Recognised | None:
    tagged = [path for path in files if path.suffix not in TABLES and _is_conll(path)]
    if not tagged:
        return None
    names = {_split_of(path, source) if len(tagged) > 1 else "": path.relative_to(source).as_posix() for path in tagged}
    return Recognised({"kind": "conll", "files": names}, "CoNLL: a token and its tag a line")


def _tables(source: Path, files: Sequence[Path]) -> Recognised | None:
    tables = [path for path in files if _table_kind(path)]
    if not tables:
        return None
    if len(tables) == 1:
        return _table({"": tables}, source)
    by_split: dict[str, list[Path]] = {}
    for path in tables:
        by_split.setdefault(_split_of(path, source), []).append(path)
    return _table(by_split, source)


def _table(files: dict[str, list[Path]], source: Path) -> Recognised:
    first = next(iter(files.values()))[0]
    kind = _table_kind(first) or ("tsv" if "\t" in columns.lines(first, 1)[0] else "csv")
    recognised = columns.recognise(files, kind, source)
    named = {split: [path.relative_to(source).as_posix() for path in paths] for split, paths in files.items()}
    by_split = {split: names if len(names) > 1 else names[0] for split, names in named.items()}
    return Recognised({"kind": kind, "files": by_split, **recognised.layout}, recognised.text)


def _table_kind(path: Path) -> str | None:
    return TABLES.get(Path(path.name.removesuffix(".gz")).suffix.lower())


def _is_conll(path: Path) -> bool:
    try:
        lines = [line.split() for line in columns.lines(path, 200, "strict")]
    except UnicodeDecodeError:
        return False
    tokens = [line for line in lines if len(line) >= 2]
    return len(tokens) >= 5 and all(TAG.match(line[-1]) for line in tokens) and any(line[-1] != "O" for line in tokens)


def _split_of(path: Path, source: Path) -> str:
    """The split in the name of a file or of its folder.

    Raises:
        SourceError: there is none.
    """
    for part in _name_parts(path):
        if _is_split(part):
            return part
    raise SourceError(
        "several files, and this one's name says no split",
        where=str(source),
        got=path.name,
        expected="train, validation (val, dev) or test in the name",
    )


def _name_parts(path: Path) -> Iterable[str]:
    yield from (word for word in re.split(r"[^a-z]+", path.name.lower()) if word)
    for split in ("train", "valid", "dev", "test"):  # emerging.dev.conll, wnut17train.conll
        if split in path.stem.lower():
            yield split
    yield path.parent.name.lower()


def _is_split(word: str) -> bool:
    try:
        split_name(word, "")
    except SourceError:
        return False
    return True


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
