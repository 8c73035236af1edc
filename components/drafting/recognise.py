"""Recognise the layout of files from their names and first lines, and the task that reads their samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.core.errors import SourceError
from components.drafting import (
    columns,
    encoding,
    recognise_box_table,
    recognise_detection,
    recognise_json,
    recognise_masks,
)
from components.drafting.draft_options import NO_OPTIONS, DraftOptions
from components.drafting.recognised import Recognised
from components.drafting.split_files import Files, as_layout, by_split, is_split
from components.ingestion import class_folder, conll, image_names, text_encoding, visible_files, wav_folder
from components.ingestion.sample import split_name

TABLES = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
NO_LANGUAGES = ("md", "py", "sh", "gz", "xz", "js", "db", "ds", "go")
KINDS = (
    "class folders of images, Pascal VOC, COCO, YOLO, CSV of boxes, JSON of Label Studio or doccano, images with "
    "masks, sounds, CoNLL, line-aligned text pairs, instructions or messages in JSON, class folders of texts, or CSV, "
    "TSV, JSON lines and Parquet with labels, texts, values or a time"
)
_HEAD = 1 << 15  # bytes of a file that are looked at
_NO_CLASS = re.compile(r"(fold|split|part|batch|run|session)[ _-]?\d+")  # folders of these names are no classes
_GROUP_FILE = re.compile(r"groups?|group_?ids?|docs?|doc_?ids?|documents?|document_?ids?|talks?|talk_?ids?")
_NOISE = re.compile(r"_?background_?noise_?|_.*_")


def recognise(source: Path, options: DraftOptions = NO_OPTIONS) -> Recognised:
    """Recognise the layout of a file or a folder.

    Args:
        options: the label or the task that a person named.

    Raises:
        SourceError: there is no such file or folder, its layout is not recognised, or it can be read in several ways.
    """
    if source.is_file():
        if _table_kind(source) is None and _is_conll(source):
            return _tagged({"": source.name}, [source], source)
        for of_file in (_boxes, _json):
            if (found := of_file(source.parent, [source], options)) is not None:
                return found
        return _table({"": [source]}, source.parent, options)
    if not source.is_dir():
        raise SourceError("no such file or folder", where=str(source))
    files = sorted(visible_files.walk(source))
    recognisers: tuple[Callable[[Path, Sequence[Path]], Recognised | None], ...] = (
        recognise_detection.recognise, lambda folder, paths: _boxes(folder, paths, options),
        lambda folder, paths: _json(folder, paths, options),
        recognise_masks.recognise, _wav, _class_folders, _pairs, _conll, _text_folders,
        lambda folder, paths: _tables(folder, paths, options),
    )  # fmt: skip
    for recogniser in recognisers if options.label is None else recognisers[-1:]:
        recognised = recogniser(source, files)
        if recognised is not None:
            return recognised
    kinds = sorted({path.suffix or path.name for path in files})
    images = [path for path in files if path.suffix.lower() in image_names.SUFFIXES]
    if images and len(images) * 2 >= len(files):
        raise SourceError(
            "images, but no class folders",
            where=str(source),
            got=", ".join(path.relative_to(source).as_posix() for path in (images[0], images[-1])),
            expected="<class>/<file>, or <split>/<class>/<file> with splits train, validation (val, dev), test",
            next_step="move the images of a class into one folder; or write data/NAME/dataset.yaml by hand with "
            "`layout: {kind: folder}`, where folders below a class belong to it",
        )
    raise SourceError(
        "the layout of the files is not recognised",
        where=str(source),
        got=f"{len(files)} files: {', '.join(kinds[:8])}" if files else "no file",
        expected=KINDS,
        next_step="write data/NAME/dataset.yaml by hand; `modelyard schema --dataset` says what is allowed",
    )


def _wav(source: Path, files: Sequence[Path]) -> Recognised | None:
    sounds = [path.relative_to(source) for path in files if path.suffix.lower() in wav_folder.SUFFIXES]
    if not sounds or len(sounds) * 2 < len(files):
        return None
    suffixes = {path.suffix.lower() for path in sounds}
    suffix = sounds[0].suffix if len(suffixes) == 1 else ""  # without one, sounds of every kind are read
    root = visible_files.innermost(source)
    inner = [path.relative_to(root.relative_to(source)) for path in sounds]
    depths = {len(path.parts) for path in inner}
    classes = sorted({path.parts[-2] for path in inner if len(path.parts) > 1})
    layout: dict[str, Any] = {"kind": "wav", "root": root.relative_to(source).as_posix()}
    if depths == {2} and len(classes) > 1:
        _check_classes(classes, source)
        layout |= {"pattern": f"{{label}}/{{name}}{suffix}"}
        return Recognised(layout, f"sounds in {len(classes)} folders, one a class", _noise(classes))
    if depths == {3} and len(classes) > 1 and all(is_split(path.parts[0]) for path in inner):
        splits: dict[str, dict[str, list[str]]] = {}
        for name in sorted({path.parts[0] for path in inner}):
            if (split := split_name(name, str(root))) != "train":
                splits.setdefault(split, {"folder": []})["folder"].append(name)
        layout |= {"pattern": f"{{folder}}/{{label}}/{{name}}{suffix}", **splits}
        return Recognised(layout, f"sounds in {len(classes)} class folders a split", _noise(classes))
    parts = {len(path.stem.split("_")) for path in sounds}
    folders = {path.parent for path in sounds}
    if len(parts) != 1 or parts == {1} or len(folders) != 1:
        raise SourceError(
            "sounds whose names do not say their classes alike",
            where=str(source),
            got=", ".join(str(path) for path in sounds[:3]),
            expected="<class>/<name>.wav, <split>/<class>/<name>.wav, or <class>_<name>.wav",
        )
    names = ["label", *(f"part_{number}" for number in range(2, parts.pop() + 1))]
    pattern = "_".join(f"{{{name}}}" for name in names) + suffix
    layout = {"kind": "wav", "root": folders.pop().as_posix(), "pattern": pattern}
    return Recognised(layout, "sounds named after their class")


def _class_folders(source: Path, files: Sequence[Path]) -> Recognised | None:
    root = visible_files.innermost(source)
    images = [
        path.relative_to(root)
        for path in files
        if path.suffix.lower() in image_names.SUFFIXES or image_names.is_image(path)
    ]
    if not images or len(images) * 2 < len(files):
        return None
    depths = {len(path.parts) for path in images}
    classes = sorted({path.parts[-2] for path in images if len(path.parts) > 1})
    layout = {"kind": "folder"} if root == source else {"kind": "folder", "root": root.relative_to(source).as_posix()}
    if depths == {2} and len(classes) > 1:
        _check_classes(classes, source)
        return Recognised(layout, f"images in {len(classes)} folders, one a class", _noise(classes))
    if depths == {3} and len(classes) > 1 and all(is_split(path.parts[0]) for path in images):
        why = f"images in {len(classes)} class folders a split"
        return Recognised({**layout, "splits": True}, why, _noise(classes))
    top = sorted({path.parts[0] for path in images})
    if min(depths) == 2 < max(depths) and len(top) > 1 and not any(map(is_split, top)):
        _check_classes(top, source)
        deeper = sum(len(path.parts) > 2 for path in images)
        remark = f"{deeper:,} images in folders below a class are of the class"
        return Recognised(layout, f"images in {len(top)} folders, one a class", (remark, *_noise(top)))
    return None


def _text_folders(source: Path, files: Sequence[Path]) -> Recognised | None:
    """Texts in one folder for each class, also below folders of splits."""
    root = visible_files.innermost(source)
    texts = [path for path in files if path.suffix.lower() in class_folder.TEXTS]
    if not texts or len(texts) * 2 < len(files):
        return None
    inner = [path.relative_to(root) for path in texts]
    depths = {len(path.parts) for path in inner}
    classes = sorted({path.parts[-2] for path in inner if len(path.parts) > 1})
    has_splits = depths == {3} and all(is_split(path.parts[0]) for path in inner)
    if len(classes) < 2 or not (depths == {2} or has_splits):
        return None
    if not has_splits:
        _check_classes(classes, source)
    coded = encoding.of_files(texts)
    layout: dict[str, Any] = {"kind": "folder", "root": root.relative_to(source).as_posix(), "text": True}
    layout |= {"splits": True} if has_splits else {}
    layout |= {"encoding": coded.name} if coded.name != "utf-8" else {}
    why = f"texts in {len(classes)} " + ("class folders a split" if has_splits else "folders, one a class")
    return Recognised(layout, why, (*([coded.note] if coded.note else []), *_noise(classes)))


def _check_classes(folders: Sequence[str], source: Path) -> None:
    """Refuse folders whose names are those of splits or folds: they are no classes.

    Raises:
        SourceError: names them.
    """
    no_classes = [name for name in folders if is_split(name) or _NO_CLASS.fullmatch(name.lower())]
    if no_classes:
        raise SourceError(
            "folders that are no classes by their names",
            where=str(source),
            got=", ".join(no_classes[:8]),
            expected="<class>/<file>, or <split>/<class>/<file> with splits train, validation (val, dev), test",
            next_step="sort the files into a folder for each class",
        )


def _noise(classes: Sequence[str]) -> tuple[str, ...]:
    odd = [name for name in classes if _NOISE.fullmatch(name.lower())]
    return tuple(f"the folder {name} is read as a class: remove it if it is none" for name in odd)


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
    splits = by_split([sides[languages[0]][stem] for stem in stems], source)
    if several := [split for split, paths in splits.items() if len(paths) > 1]:
        got = ", ".join(path.name for path in splits[several[0]])
        raise SourceError("several pairs of files of a split", where=str(source), got=got, expected="one pair a split",
                          next_step="join the files of a split, each language in the same order")  # fmt: skip
    stem_of = {path: stem for stem, path in sides[languages[0]].items()}
    named = [
        {split: sides[language][stem_of[paths[0]]].relative_to(source).as_posix() for split, paths in splits.items()}
        for language in languages
    ]
    layout: dict[str, Any] = {"kind": "pairs", "source": named[0], "target": named[1]}
    coding, notes = _encoding([sides[language][stem] for language in languages for stem in stems], source)
    layout |= {"encoding": coding} if coding != "utf-8" else {}
    if groups := _groups_of_pairs(source, files, {split: stem_of[paths[0]] for split, paths in splits.items()}):
        layout["group"] = groups
        notes = (*notes, f"pairs of equal lines in {', '.join(groups.values())} are kept in one split")
    return Recognised(layout, f"lines of {languages[0]} beside lines of {languages[1]}", notes)


def _groups_of_pairs(source: Path, files: Sequence[Path], stems: dict[str, str]) -> dict[str, str]:
    """For each split, the file beside its pair that names the group of each line; {} if one is missing."""
    named = {
        path.name.removesuffix(".gz").rpartition(".")[0]: path.relative_to(source).as_posix()
        for path in files
        if _GROUP_FILE.fullmatch(path.name.removesuffix(".gz").rpartition(".")[2].lower())
    }
    return {split: named[stem] for split, stem in stems.items()} if set(stems.values()) <= named.keys() else {}


def _encoding(paths: Sequence[Path], source: Path) -> tuple[str, tuple[str, ...]]:
    """The encoding of all files, and how it was recognised; files of ASCII fit any.

    Raises:
        SourceError: the files are in several encodings, or one is not text.
    """
    found = {path: encoding.recognise(path) for path in paths if path.stat().st_size}
    odd = {
        coded.name: path for path, coded in found.items() if not coded.name.startswith(("utf-8", "utf-16", "utf-32"))
    }
    if not odd:
        return "utf-8", ()
    unlike = [path for path, coded in found.items() if coded.name not in odd and not encoding.decodes(path, "ascii")]
    if len(odd) > 1 or unlike:
        got = ", ".join([*(f"{path.name}: {name}" for name, path in odd.items()), *(path.name for path in unlike[:3])])
        raise SourceError("files in several encodings", where=str(source), got=got, expected="one encoding",
                          next_step="save all files as UTF-8")  # fmt: skip
    ((name, path),) = odd.items()
    return name, (found[path].note,)


def _boxes(source: Path, files: Sequence[Path], options: DraftOptions) -> Recognised | None:
    """Tables of boxes, unless a label or another task was named."""
    if options.label is not None or not options.allows("boxes"):
        return None
    return recognise_box_table.recognise(source, files)


def _json(source: Path, files: Sequence[Path], options: DraftOptions) -> Recognised | None:
    """JSON of annotation tools and of language models, unless a column was named."""
    if options.label is not None or not any(recognise_json.is_json(path) for path in files):
        return None
    if len(files) > 1:
        return recognise_json.recognise(source, files, options)
    beside = [path for path in visible_files.walk(source) if path.suffix.lower() in image_names.SUFFIXES]
    return recognise_json.recognise(source, files, options, beside)


def _conll(source: Path, files: Sequence[Path]) -> Recognised | None:
    tagged = [path for path in files if path.suffix not in TABLES and _is_conll(path)]
    if not tagged:
        return None
    found = _tagged(as_layout(by_split(tagged, source), source), tagged, source)
    return found._replace(remarks=(*found.remarks, *_others(files, tagged, source)))


def _tagged(files: Files, paths: Sequence[Path], source: Path) -> Recognised:
    coding, notes = _encoding(paths, source)
    layout = {"kind": "conll", "files": files} | ({"encoding": coding} if coding != "utf-8" else {})
    return Recognised(layout, "CoNLL: a token and its tag a line", notes)


def _tables(source: Path, files: Sequence[Path], options: DraftOptions) -> Recognised | None:
    tables = [path for path in files if _table_kind(path)]
    if not tables:
        return None
    found = _table(by_split(tables, source), source, options)
    images = [path for path in files if path.suffix.lower() in image_names.SUFFIXES] if "image" in found.layout else []
    return found._replace(remarks=(*found.remarks, *_others(files, [*tables, *images], source)))


def _others(files: Sequence[Path], read: Sequence[Path], source: Path) -> tuple[str, ...]:
    """A remark on the files that are not read."""
    known = set(read)
    others = [path.relative_to(source).as_posix() for path in files if path not in known]
    if not others:
        return ()
    more = ", …" if len(others) > 5 else ""
    return (f"{len(others):,} other files are left out ({', '.join(others[:5])}{more})",)


def _table(files: dict[str, list[Path]], source: Path, options: DraftOptions) -> Recognised:
    first = next(iter(files.values()))[0]
    kind = _table_kind(first) or ("tsv" if "\t" in columns.lines(first, 1)[0] else "csv")
    found = columns.recognise(files, kind, source, options)
    layout = {"kind": kind, "files": as_layout(files, source), **found.layout}
    remarks = tuple(f"the column {name} is left out: {reason}" for name, reason in found.left_out)
    return Recognised(layout, found.why, remarks)


def _table_kind(path: Path) -> str | None:
    return TABLES.get(Path(path.name.removesuffix(".gz")).suffix.lower())


def _is_conll(path: Path) -> bool:
    try:
        lines = columns.lines(path, 200, "strict")
    except SourceError:  # an empty or damaged file
        return False
    except UnicodeDecodeError:  # not UTF-8: blanks, tabs and tags are the same in all encodings of one byte a letter
        head = text_encoding.first_bytes(path, _HEAD)
        lines = [] if 0 in head else head.decode("latin-1").split("\n")[:-1][:200]
    lines = [line for line in lines if line.strip() and not conll.is_comment(line)]
    rows = [cells for cells in map(conll.columns, lines) if len(cells) >= 2]
    tagged = [cells for cells in rows if conll.TAG.fullmatch(cells[-1])]
    return len(rows) >= 5 and len(tagged) == len(rows) and any(cells[-1] != "O" for cells in rows)
