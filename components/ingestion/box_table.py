"""A CSV or TSV of boxes: one row a box, several rows an image."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.annotation_layout import BoxTableLayout
from components.core.errors import SourceError
from components.ingestion import delimited, frames, image_names, visible_files
from components.ingestion.boxes import box
from components.ingestion.dialect import Dialect
from components.ingestion.frames import Annotated, Size
from components.ingestion.image_cells import ImageFiles
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

_SLACK = 0.01  # of a fraction beyond its image, as annotators round


class _Row(NamedTuple):
    """A box as the table has it, and where."""

    label: str
    numbers: list[float]
    where: str


class _Image(NamedTuple):
    """An image and the rows of its boxes, none for an image without objects."""

    name: str
    split: str | None
    path: Path
    declared: Size | None
    rows: list[_Row]


def samples(layout: BoxTableLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images of each split in the order of their first rows; ids are `<split>/<image>`.

    Raises:
        SourceError: a file, column or image is missing, a cell is no number, sizes of an image contradict each other,
            or boxes and images do not fit each other (frames.py).
    """
    images: dict[tuple[str, Path], _Image] = {}
    for key, files in layout.files.items():
        for name in [files] if isinstance(files, str) else files:
            _read(layout, folder, name, key, images)
    if not images:
        raise SourceError("the table holds no sample", where=str(folder))
    _say_others(layout, folder, images.values(), remarks)
    annotated = [Annotated(image.path, image.declared) for image in images.values()]
    frame = frames.frame(annotated, layout.sizes, str(folder), remarks)
    for (key, _), image in images.items():
        content = image.path.read_bytes()
        size = None
        if layout.unit == "fractions" and image.rows:
            size = _size(content, frame, image.rows[0].where)
        boxes = [_box(layout, row, size) for row in image.rows]
        boxes = frames.turned(boxes, content) if frame == "stored" else boxes
        identity = unicodedata.normalize("NFC", f"{key or 'all'}/{image.name}")
        yield Sample(identity, image.split, {"image": content, "boxes": boxes})


def dialect_of(layout: BoxTableLayout) -> Dialect:
    """How the rows of the files are written."""
    return Dialect(
        layout.encoding,
        layout.delimiter,
        skip_lines=layout.skip_lines,
        comment=layout.comment,
        columns=layout.columns,
    )


def _read(
    layout: BoxTableLayout, folder: Path, name: str, key: str, images: dict[tuple[str, Path], _Image]
) -> None:  # fmt: skip
    """Add the rows of a file to `images`, which are by split and path."""
    path, dialect = folder / name, dialect_of(layout)
    optional = [] if layout.split is None else [layout.split]
    columns = [layout.image, layout.label, *layout.box, *(layout.size or ()), *optional]
    names = delimited.names_of(dialect, path, columns)
    delimited.check(names, columns, path)
    find = ImageFiles(path, folder, layout.folder_of(key), layout.image_suffix)
    file_split = split_name(key, "layout.files") if key else None
    for line, cells in delimited.rows(dialect, path, names, columns):
        where = f"{path} line {line}"
        image_cell, label, *numbers = (cell.strip() for cell in cells)
        split = split_name(numbers.pop(), where) if layout.split is not None and numbers[-1] else file_split
        file = find(image_cell, where)
        declared = _declared(numbers[4:6], where) if layout.size is not None else None
        image_name = f"{image_cell}{layout.image_suffix or ''}".replace("\\", "/").removeprefix("./")
        image = images.setdefault(
            (key if split == file_split else split or "", file.resolve()), _Image(image_name, split, file, declared, [])
        )
        if image.declared != declared:
            raise SourceError("two sizes of one image", where=where, got=declared, expected=image.declared)
        if any(numbers[:4]) or label:
            image.rows.append(_Row(label, _numbers(numbers[:4], layout.box, where), where))


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str) -> list[float]:
    found = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            found.append(float(cell))
        except ValueError as error:
            expected = "a number, or empty cells of box and class where the image has no object"
            got = f"{column}: {cell!r}"
            raise SourceError("a cell that is no number", where=where, got=got, expected=expected) from error
    return found


def _declared(cells: Sequence[str], where: str) -> Size | None:
    """Width and height; None if they are empty or 0."""
    if not any(cells):
        return None
    try:
        width, height = (int(float(cell)) for cell in cells)
    except (ValueError, OverflowError) as error:
        raise SourceError("the size of an image is no number", where=where, got=", ".join(cells)) from error
    return (width, height) if width > 0 and height > 0 else None


def _size(content: bytes, frame: str, where: str) -> Size:
    """Width and height of the image in the frame of its boxes."""
    stored, shown = frames.stored_size(content), frames.shown_size(content)
    if stored is None or shown is None:
        raise SourceError("boxes of an image that cannot be read: its size is needed", where=where)
    return stored[0] if frame == "stored" else shown


def _box(layout: BoxTableLayout, row: _Row, size: Size | None) -> dict[str, Any]:
    corners = corners_of(row.numbers, layout.form)
    if size is not None:
        if any(not -_SLACK <= number <= 1 + _SLACK for number in corners):
            got = " ".join(f"{number:g}" for number in row.numbers)
            expected = "parts of width and height, 0 to 1; or `unit: pixels`"
            raise SourceError("a box beyond its image", where=row.where, got=got, expected=expected)
        corners = [number * side for number, side in zip(corners, size * 2, strict=True)]
    return box(row.label, corners, row.where)


def corners_of(numbers: Sequence[float], form: str) -> list[float]:
    """xmin, ymin, xmax, ymax of a box in one of the forms of `BoxTableLayout`."""
    first, second, third, fourth = numbers
    if form == "corner_size":
        return [first, second, first + third, second + fourth]
    if form == "centre_size":
        return [first - third / 2, second - fourth / 2, first + third / 2, second + fourth / 2]
    return [first, second, third, fourth]


def _say_others(layout: BoxTableLayout, folder: Path, images: Any, remarks: Remarks) -> None:
    """Remark on the images in the folders of the table's images that no row names."""
    named = {image.path.resolve() for image in images}
    for root in sorted({path.parent for path in named}):
        for path in visible_files.children(root):
            if path.suffix.lower() in image_names.SUFFIXES and path.resolve() not in named:
                remarks.add("images that are in no row of the table are left out", path.name)
