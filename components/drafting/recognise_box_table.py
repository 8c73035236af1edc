"""Recognise tables of boxes: CSV or TSV with columns of an image, a class and the four numbers of a box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.drafting import dialect, image_columns
from components.drafting.cells import SPLITS, Column, is_number
from components.drafting.recognised import Recognised
from components.drafting.split_files import as_layout, by_split, is_split
from components.ingestion import box_table, delimited, image_names
from components.ingestion.dialect import Dialect
from components.ingestion.sample import split_name

_IMAGES = (
    "image", "filename", "file", "file_name", "image_name", "imagename", "image_path", "imagepath", "path", "filepath",
    "file_path", "image_id", "imageid", "img", "image_file", "photo", "picture",
)  # fmt: skip
_CLASSES = (
    "class", "label", "class_name", "classname", "label_name", "labelname", "category", "category_name", "name",
    "object", "type", "species", "classid", "class_id", "category_id", "object_class",
)  # fmt: skip
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"), ("minx", "miny", "maxx", "maxy"), ("min_x", "min_y", "max_x", "max_y"),
    ("xtl", "ytl", "xbr", "ybr"), ("roi.x1", "roi.y1", "roi.x2", "roi.y2"), ("x0", "y0", "x1", "y1"),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"), ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
)  # fmt: skip
_CENTRES = (
    ("x_center", "y_center", "width", "height"), ("x_centre", "y_centre", "width", "height"),
    ("center_x", "center_y", "width", "height"), ("xcenter", "ycenter", "width", "height"),
    ("cx", "cy", "w", "h"), ("xc", "yc", "w", "h"), ("x_center", "y_center", "w", "h"),
)  # fmt: skip
_CORNER_SIZES = (
    ("xmin", "ymin", "width", "height"), ("left", "top", "width", "height"), ("x_min", "y_min", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"), ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("x", "y", "width", "height"), ("x", "y", "w", "h"),
)  # fmt: skip
_FORMS = (("corners", _CORNERS), ("centre_size", _CENTRES), ("corner_size", _CORNER_SIZES))
_SIZES = (
    ("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"), ("w", "h"),
    ("imagewidth", "imageheight"), ("img_w", "img_h"), ("im_width", "im_height"),
)  # fmt: skip
_WITHOUT_HEADER = ("image", "xmin", "ymin", "xmax", "ymax", "label")  # as keras-retinanet has it
_TABLES = (".csv", ".tsv")
_SAME = 1e-6


class _Table(NamedTuple):
    """A table of boxes, how it is written, and which columns are read."""

    path: Path
    dialect: Dialect
    notes: list[str]
    names: list[str]
    roles: dict[str, Any]  # image, label, box, form, size, split of the layout


def recognise(source: Path, paths: Sequence[Path]) -> Recognised | None:
    """The layout of the tables of boxes among files; None if there are none.

    Raises:
        SourceError: the tables are not alike, their images are not there, or a cell of a box is no number.
    """
    tables = [table for path in paths if path.suffix.lower() in _TABLES and (table := _open(path)) is not None]
    if not tables:
        return None
    first = tables[0]
    for table in tables[1:]:
        if (table.dialect, table.roles) != (first.dialect, first.roles):
            got = f"{', '.join(first.names)} and {', '.join(table.names)}"
            raise SourceError(
                "the tables of boxes are not alike",
                where=str(table.path),
                got=got,
                expected=f"columns as in {first.path.name}",
                next_step="write all tables alike",
            )
    files = by_split([table.path for table in tables], source)
    by_path = {table.path: table for table in tables}
    images = {
        split: _images(source, [by_path[path] for path in own], _split_folders(source, paths, split))
        for split, own in files.items()
    }
    form, unit, notes = _form(tables)
    layout = {"kind": "boxes", "files": as_layout(files, source), **first.roles, "form": form, "unit": unit}
    layout |= _dialect_keys(first.dialect) | _image_keys(images)
    used = {first.roles[key] for key in ("image", "label", "split") if key in first.roles}
    used |= {*first.roles["box"], *first.roles.get("size", ())}
    left_out = [name for name in first.names if name not in used]
    remarks = [*notes, *(f"the column {name} is left out: no part of a box" for name in left_out)]
    read = {path for own in files.values() for path in own}
    others = [path.name for path in paths if path not in read and not _is_image(path)]
    if others:
        shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        remarks.append(f"{len(others):,} other files are left out ({shown})")
    why = "; ".join([f"a table of boxes ({', '.join(first.roles['box'])}) of images ({first.roles['image']})",
                     *first.notes])  # fmt: skip
    return Recognised(layout, why, tuple(remarks))


def _open(path: Path) -> _Table | None:
    """A table with the columns of boxes; None for other files."""
    try:
        written = dialect.recognise(path, "tsv" if path.suffix.lower() == ".tsv" else "csv")
        found = written.dialect._replace(quoted=True)
        names = delimited.names_of(found, path, ())
        row = next((row for _, row in delimited.all_rows(found, path)), [])
    except SourceError:
        return None
    if found.columns is None and _is_headerless(row):
        found = found._replace(columns=names)
    if found.columns is not None:
        if not _is_headerless(row):
            return None
        names = list(_WITHOUT_HEADER)
        found = found._replace(columns=names)
    roles = _roles(names)
    notes = [note for note in written.notes if "header seems" not in note or found.columns is None]
    return None if roles is None else _Table(path, found, notes, names, roles)


def _is_headerless(row: Sequence[str]) -> bool:
    """Whether a row is `path,x1,y1,x2,y2,class`, or a path and empty cells."""
    if len(row) != len(_WITHOUT_HEADER) or Path(row[0].strip()).suffix.lower() not in image_names.SUFFIXES:
        return False
    is_box = all(is_number(cell) for cell in row[1:5]) and bool(row[5].strip())
    return is_box or not any(cell.strip() for cell in row[1:])


def _roles(names: Sequence[str]) -> dict[str, Any] | None:
    """Which columns are read; None without an image, a class or the four columns of a box."""
    known = {name.strip().lower(): name for name in names}
    if len(known) < len(names):
        return None
    for form, choices in _FORMS:
        for box in choices:
            if not set(box) <= known.keys():
                continue
            image = next((name for name in _IMAGES if name in known), None)
            label = next((name for name in _CLASSES if name in known and name != image), None)
            if image is None or label is None:
                return None
            size = next((pair for pair in _SIZES if set(pair) <= known.keys() and not set(pair) & set(box)), None)
            roles: dict[str, Any] = {"image": known[image], "label": known[label], "box": [known[one] for one in box]}
            roles |= {"size": [known[side] for side in size]} if size else {}
            split = next((known[name] for name in SPLITS if name in known), None)
            return roles | {"form": form} | ({"split": split} if split else {})
    return None


def _split_folders(source: Path, paths: Sequence[Path], split: str) -> list[Path]:
    """The folders of files that are named after a split."""
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(source)}
    named = [folder for folder in folders if is_split(folder.name) and split]
    return sorted(folder for folder in named if split_name(folder.name, "") == split_name(split, ""))


def _images(source: Path, tables: Sequence[_Table], preferred: Sequence[Path]) -> tuple[str, str]:
    """Folder, relative to the tables, and suffix of the images.

    Args:
        preferred: folders that are looked through first.

    Raises:
        SourceError: they are not there.
    """
    found: set[tuple[str, str]] = set()
    for table in tables:
        name = table.roles["image"]
        cells = list(dict.fromkeys(cell.strip().replace("\\", "/") for _, (cell, *_) in _rows(table, [name])))
        places = (*preferred, source) if any(cells) else ()
        tried = (image_columns.find([Column(name, cells)], table.path, place) for place in places)
        column = next((found for found in tried if found is not None), None)
        if column is None:
            raise SourceError(
                "a table of boxes, and its images are not there",
                where=str(table.path),
                got=next((cell for cell in cells if cell), "no image"),
                expected=f"an image of that name below {source}",
            )
        found.add((column.folder, column.suffix))
    if len(found) > 1:
        raise SourceError(
            "tables of one split whose images are in several folders",
            where=str(tables[0].path),
            got=", ".join(sorted(folder for folder, _ in found)),
            next_step="join the tables, with paths of the images that begin at one folder",
        )
    return found.pop()


def _rows(table: _Table, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    return delimited.rows(table.dialect, table.path, table.names, columns)


def _form(tables: Sequence[_Table]) -> tuple[str, str, list[str]]:
    """Form and unit of the boxes by all rows, and what is assumed."""
    roles = tables[0].roles
    boxes: list[list[float]] = []
    sides: list[list[float]] = []
    for table in tables:
        for line, cells in _rows(table, [*roles["box"], *roles.get("size", ())]):
            if not any(cell.strip() for cell in cells[:4]):
                continue
            try:
                boxes.append([float(cell) for cell in cells[:4]])
                sides.append([float(cell) for cell in cells[4:]] if all(cells[4:]) else [])
            except ValueError as error:
                got = ", ".join(cells)
                raise SourceError(
                    "a cell that is no number", where=f"{table.path} line {line}", got=got, next_step="mend the line"
                ) from error
    unit = "fractions" if boxes and max(max(box) for box in boxes) <= 1 else "pixels"
    notes = (
        ["the boxes are fractions of the image's width and height: no number is above 1"] if unit != "pixels" else []
    )
    form = roles["form"]
    if form == "corner_size" and {name.strip().lower() for name in roles["box"][:2]} == {"x", "y"}:
        bounds = [[1.0, 1.0] if unit == "fractions" else side for side in sides]
        fits = {form: _fits(boxes, bounds, form) for form in ("corner_size", "centre_size")}
        if fits["centre_size"] and not fits["corner_size"]:
            form = "centre_size"
            notes.append("x and y are the centre of a box: as its corner, boxes would leave their images")
        elif fits["centre_size"]:
            notes.append(
                "x and y are taken as the upper left corner of a box; `form: centre_size` if they are its centre"
            )
    return form, unit, notes


def _fits(boxes: Sequence[Sequence[float]], bounds: Sequence[Sequence[float]], form: str) -> bool:
    """Whether no box leaves its image; where the size of the image is not known, only above and to the left."""
    for box, bound in zip(boxes, bounds, strict=True):
        left, top, right, bottom = box_table.corners_of(box, form)
        if left < -_SAME or top < -_SAME or (bound and (right > bound[0] + _SAME or bottom > bound[1] + _SAME)):
            return False
    return True


def _dialect_keys(found: Dialect) -> dict[str, Any]:
    keys = {
        "columns": found.columns, "encoding": found.encoding, "delimiter": found.delimiter,
        "skip_lines": found.skip_lines, "comment": found.comment,
    }  # fmt: skip
    default = {"columns": None, "encoding": "utf-8", "delimiter": ",", "skip_lines": 0, "comment": None}
    return {key: value for key, value in keys.items() if value != default[key]}


def _image_keys(images: dict[str, tuple[str, str]]) -> dict[str, Any]:
    folders = {split: folder for split, (folder, _) in images.items()}
    suffixes = {suffix for _, suffix in images.values()}
    if len(suffixes) > 1:
        raise SourceError("the images of the splits have different suffixes", got=", ".join(sorted(suffixes)))
    keys: dict[str, Any] = {"image_suffix": suffix} if (suffix := suffixes.pop()) else {}
    if len(set(folders.values())) > 1:
        return {**keys, "image_folder": folders}
    folder = next(iter(folders.values()))
    return keys | ({"image_folder": folder} if folder not in ("", ".") else {})


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in image_names.SUFFIXES
