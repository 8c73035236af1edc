"""Recognise images with masks of classes: two folders of equal names, or one folder with `x.jpg` and `x_mask.png`."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.drafting import mask_levels
from components.drafting.mask_levels import MaskLevels
from components.drafting.recognised import Recognised
from components.drafting.split_files import is_split
from components.ingestion import image_names

_MASK_WORDS = re.compile(
    r"(masks?|segmentations?|segmentationclass|segs?|labels?|annotations?|annots?|gts?|groundtruths?)"
)
_IMAGE_WORDS = re.compile(r"image|img|photo|picture|input|scan|frame")
_SUFFIXES = (
    "_mask", "_masks", "_seg", "_segmentation", "_label", "_labels", "_gt", "_annotation", "_annotated", "_L", "-mask",
    "-gt", ".mask",
)  # fmt: skip
_IGNORED = 255
_LEAST_CLASSES = 2
_LEAST = 0.5  # share of the masks that must have an image
_MOST_BESIDE = 0.8  # share of the files of one folder that must be pairs


class _Pair(NamedTuple):
    """A folder of images and its folder of masks, with the number of pairs."""

    images: Path
    masks: Path
    suffix: str
    found: int


def recognise(source: Path, files: Sequence[Path]) -> Recognised | None:
    """Images with masks; None if the files are not.

    Raises:
        SourceError: folders are named and filled as of masks, but their pixels are no classes; or there are several
            pairs of folders that are not named after splits.
    """
    images = [path for path in files if path.suffix.lower() in image_names.SUFFIXES or image_names.is_image(path)]
    folders: dict[Path, dict[str, Path]] = {}
    for path in images:
        folders.setdefault(path.parent, {}).setdefault(path.with_suffix("").name, path)
    pairs = _beside(folders) or _in_one(folders)
    if not pairs:
        return None
    paths = [path for pair in pairs for path in _masks_of(folders, pair)]
    layout: dict[str, Any] = {"kind": "masks", **_folders(pairs, source)}
    if pairs[0].suffix:
        layout["mask_suffix"] = pairs[0].suffix
    levels = mask_levels.read(paths)
    if levels is None:
        if all(_IMAGE_WORDS.search(pair.images.name.lower()) for pair in pairs):
            raise _no_classes(paths, source)
        return None  # pictures of classes that are named like masks
    keys, notes = _classes(levels, files)
    count = sum(pair.found for pair in pairs)
    return Recognised(
        {**layout, **keys}, f"{count:,} images with masks of {len(keys['classes'])} classes", tuple(notes)
    )


def _beside(folders: dict[Path, dict[str, Path]]) -> list[_Pair]:
    """Pairs of folders, one of which has a name as of masks and files named as those of the other."""
    pairs = []
    for folder, stems in sorted(folders.items()):
        if not _is_named(folder):
            continue
        best: _Pair | None = None
        for other, names in sorted(folders.items()):
            if other == folder or _is_named(other):
                continue
            for suffix in ("", *_SUFFIXES):
                count = sum(f"{name}{suffix}" in stems for name in names)
                near = _alike(other, folder)
                if count and (best is None or (count, near) > (best.found, _alike(best.images, folder))):
                    best = _Pair(other, folder, suffix, count)
        if best is not None and best.found >= _LEAST * len(stems):
            pairs.append(best)
    return pairs if len({pair.suffix for pair in pairs}) == 1 else []


def _in_one(folders: dict[Path, dict[str, Path]]) -> list[_Pair]:
    """Folders in which most images stand with and without a suffix as of masks."""
    pairs = []
    for folder, stems in sorted(folders.items()):
        counts = {suffix: sum(f"{name}{suffix}" in stems for name in stems) for suffix in _SUFFIXES}
        suffix = max(counts, key=lambda one: counts[one])
        if counts[suffix] and 2 * counts[suffix] >= _MOST_BESIDE * len(stems):
            pairs.append(_Pair(folder, folder, suffix, counts[suffix]))
    return pairs if len({pair.suffix for pair in pairs}) == 1 else []


def _is_named(folder: Path) -> bool:
    """Whether the name of a folder, or of the one above it, says masks."""
    words = [re.sub(r"[^a-z]", "", name.lower()) for name in (folder.name, folder.parent.name)]
    if _MASK_WORDS.fullmatch(words[0]) or any("mask" in word for word in words[:1]):
        return True
    return bool(is_split(folder.name) and (_MASK_WORDS.fullmatch(words[1]) or "mask" in words[1]))


def _alike(one: Path, other: Path) -> int:
    """Number of the parts of two paths that are equal, from both ends."""
    return sum(first == second for first, second in zip(one.parts, other.parts, strict=False)) + sum(
        first == second for first, second in zip(reversed(one.parts), reversed(other.parts), strict=False)
    )


def _masks_of(folders: dict[Path, dict[str, Path]], pair: _Pair) -> list[Path]:
    return [path for stem, path in folders[pair.masks].items() if not pair.suffix or stem.endswith(pair.suffix)]


def _folders(pairs: Sequence[_Pair], source: Path) -> dict[str, Any]:
    """Keys `images` and `masks` of the layout."""
    named = [(_relative(pair.images, source), _relative(pair.masks, source)) for pair in pairs]
    if len(pairs) == 1:
        return {"images": named[0][0], "masks": named[0][1]}
    splits = [
        next((folder.name for folder in (pair.masks, pair.masks.parent) if is_split(folder.name)), None)
        for pair in pairs
    ]
    if None in splits or len(set(splits)) < len(splits):
        raise SourceError(
            "several folders of masks, and they are not named after splits",
            where=str(source),
            got=", ".join(masks for _, masks in named),
            expected="train, validation (val, dev), test",
        )
    each = list(zip(splits, named, strict=True))
    return {"images": {str(s): images for s, (images, _) in each}, "masks": {str(s): own for s, (_, own) in each}}


def _no_classes(paths: Sequence[Path], source: Path) -> SourceError:
    lossy = any(path.suffix.lower() in (".jpg", ".jpeg", ".jfif") for path in paths)
    return SourceError(
        "images and masks by their names, but the pixels of the masks are no classes",
        where=str(source),
        got=f"more than {mask_levels.MOST_LEVELS} values{', JPEG files among them' if lossy else ''}",
        expected=f"at most {mask_levels.MOST_LEVELS} class numbers or colours",
        next_step="JPEG changes the numbers of classes: write masks as PNG"
        if lossy
        else "write masks of class numbers, or move these files away",
    )


def _classes(levels: MaskLevels, files: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Keys `classes` and `ignore`, and what is assumed."""
    if levels.in_colours:
        return _colour_classes(levels, files)
    numbers, stray = sorted(levels.pixels), levels.stray()
    usual = [number for number in numbers if number not in stray]
    ignored = _IGNORED in numbers and usual != [0, _IGNORED]
    keys: dict[str, Any] = {"ignore": _IGNORED} if ignored else {}
    notes = [levels.summary()]
    if ignored:
        notes.append(f"pixels of {_IGNORED} are ignored, neither learnt nor scored: {levels.where(_IGNORED)}")
        numbers, usual, stray = ([one for one in part if one != _IGNORED] for part in (numbers, usual, stray))
    if len(usual) < _LEAST_CLASSES:
        usual, stray = numbers, []
    named = _listed(files)
    if named and usual[-1] < len(named[1]):
        beyond = [number for number in numbers if number >= len(named[1])]
        names = [*named[1]]
        classes: Any = names if not beyond else {
            **{name: number for number, name in enumerate(names)}, **{f"class {number}": number for number in beyond}
        }  # fmt: skip
        notes = [f"the names of the classes are from {named[0]}", *notes]
        return {"classes": classes, **keys}, [*notes, *_questions(levels, beyond, ignored)]
    names_by_number = {number: _made_up(number, usual) for number in numbers}
    why = f" ({named[0]} has {len(named[1])} names, the highest level is {numbers[-1]})" if named else ""
    note = f"the names of the classes are made up{why}: mend `classes:` in dataset.yaml"
    in_order = numbers == list(range(len(numbers)))
    made_up = list(names_by_number.values())
    classes = made_up if in_order else {name: number for number, name in names_by_number.items()}
    return {"classes": classes, **keys}, [note, *notes, *_questions(levels, stray, ignored)]


def _questions(levels: MaskLevels, stray: Sequence[int], ignored: bool) -> list[str]:
    """A question for each level that may be a mistake."""
    found = []
    for level in stray:
        spelled = levels.spelled(level)
        ignore = (
            f"write `ignore: {spelled}` and take it out of `classes:`"
            if not ignored
            else f"give these pixels the level {_IGNORED}, which is ignored, and take it out of `classes:`"
        )
        found.append(
            f"is the level {spelled} a class? {levels.where(level)} have it: if it is, name it in `classes:` of "
            f"dataset.yaml; if these pixels do not count, {ignore}; if it is a mistake, mend the masks"
        )
    return found


def _made_up(number: int, numbers: Sequence[int]) -> str:
    if number == 0:
        return "background"
    return "foreground" if number in numbers and len(numbers) == 2 and numbers[0] == 0 else f"class {number}"


def _colour_classes(levels: MaskLevels, files: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    table = _colour_table(files)
    colours = sorted(levels.pixels)
    stray = levels.stray()
    stray = stray if len(colours) - len(stray) >= _LEAST_CLASSES else []
    named = {} if table is None else {(r << 16) + (g << 8) + b: name for name, (r, g, b) in table[1].items()}
    if table is not None and set(colours) - set(stray) <= set(named):
        beyond = [colour for colour in colours if colour not in named]
        notes = [f"the colours of the classes are from {table[0]}", levels.summary()]
        others = {_hex(colour): _colour(colour) for colour in beyond}
        return {"classes": {**table[1], **others}}, [*notes, *_questions(levels, beyond, ignored=False)]
    classes = {"background" if colour == 0 else _hex(colour): _colour(colour) for colour in colours}
    notes = ["the names of the classes are their colours: mend `classes:` in dataset.yaml", levels.summary()]
    if table is not None:
        notes.append(f"{table[0]} does not have all colours of the masks, and is not read")
    return {"classes": classes}, [*notes, *_questions(levels, stray, ignored=False)]


def _colour(level: int) -> list[int]:
    return [level >> 16, level >> 8 & 255, level & 255]


def _hex(level: int) -> str:
    return f"#{level:06x}"


def _listed(files: Sequence[Path]) -> tuple[str, list[str]] | None:
    """The names in a file of one name a line."""
    for path in files:
        if path.name.lower() in ("classes.txt", "labels.txt", "class_names.txt", "codes.txt"):
            names = [line.strip() for line in path.read_text("utf-8-sig", errors="replace").splitlines()]
            names = [name for name in names if name]
            if len(names) > 1 and len(set(names)) == len(names):
                return path.name, names
    return None


def _colour_table(files: Sequence[Path]) -> tuple[str, dict[str, list[int]]] | None:
    """The classes in a CSV of name, r, g, b."""
    for path in files:
        if path.suffix.lower() != ".csv":
            continue
        try:
            rows = list(csv.reader(path.read_text("utf-8-sig").splitlines(), strict=True))
            found = {row[0].strip(): [int(cell) for cell in row[1:4]] for row in rows[1:] if len(row) >= 4}
        except (ValueError, csv.Error):
            continue
        if len(found) > 1 and all(0 <= level <= 255 for colour in found.values() for level in colour):
            return path.name, found
    return None


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()
