"""What is scored: files that are one sample each, tables, or a dataset of the project."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from components.contracts.score_request import ScoreRequest
from components.contracts.table_layout import Columns
from components.core.errors import NotFoundError, SourceError, UsageError
from components.ingestion import image_names, visible_files, wav_folder
from components.ingestion.remarks import Remarks
from components.scoring import table_form
from components.scoring.table_form import TableForm
from components.tasks.task import EndpointSchema

_TEXTS = frozenset({".txt", ".text", ".md"})


@dataclass(frozen=True)
class ScoreSource:
    """The files of an input, in order.

    Args:
        kind: `files`: each is a sample.
        paths, names: of the files; a name is relative to the input.
        form: of tables.
        split: of a dataset; None: all samples.
        remarks: what is left out or assumed.
    """

    kind: Literal["files", "tables", "dataset"]
    paths: list[str]
    names: list[str]
    form: TableForm | None = None
    split: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def has_names(self) -> bool:
        """Whether the output says of which file a sample is."""
        return self.kind == "files" or (self.kind == "tables" and len(self.paths) > 1)


def find(request: ScoreRequest, endpoint: EndpointSchema, *, is_row: bool, known: Columns | None) -> ScoreSource:
    """The files of the inputs of a request.

    Args:
        is_row: whether a sample is a row of features.
        known: the table of the dataset that the model was trained on.

    Raises:
        NotFoundError: an input is not there.
        UsageError: there is nothing to score, or it cannot be told what a sample is.
        SourceError: a table cannot be read.
    """
    if request.is_dataset:
        _refuse_options_of_tables(request)
        return ScoreSource("dataset", [request.inputs[0]], [Path(request.inputs[0]).name], split=request.options.split)
    if request.options.split is not None:
        raise UsageError("only a dataset of the project has splits", got=", ".join(request.inputs)[:200])
    remarks = Remarks()
    found = _Files(endpoint, remarks)
    for text, name in zip(request.inputs, request.names or request.inputs, strict=True):
        found.add(Path(text), name if len(request.inputs) > 1 else "")
    if found.samples and found.tables:
        raise UsageError(
            "files that are samples and tables of samples are mixed",
            got=f"{found.samples[0][1]} and {found.tables[0][1]}",
            expected="one of both",
            next_step="name the folder or the files of one kind",
        )
    chosen = found.samples or found.tables
    if not chosen:
        raise UsageError(
            "there is nothing to score here",
            where=", ".join(request.inputs)[:200],
            got="; ".join(remarks.lines()) or "no file",
            expected=found.expected,
        )
    names = [name for _, name in chosen]
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UsageError("a file is named twice", got=", ".join(repeated[:5]))
    paths = [path for path, _ in chosen]
    if not found.tables:
        _refuse_options_of_tables(request)
        return ScoreSource("files", list(map(str, paths)), names, remarks=remarks.lines())
    form = table_form.recognise(paths, endpoint, is_row=is_row, known=known, options=request.options)
    return ScoreSource("tables", list(map(str, paths)), names, form, remarks=[*remarks.lines(), *form.notes])


def _refuse_options_of_tables(request: ScoreRequest) -> None:
    options = request.options
    if options.column is not None:
        raise UsageError("--column is for tables", got=options.column)
    if isinstance(options.keep, list) or options.keep == "all":
        raise UsageError("--keep is for tables: other inputs have no columns", got=options.keep)


def _refuse_folder(error: OSError) -> None:
    raise SourceError("a folder cannot be read", where=str(error.filename), got=error.strerror) from error


class _Files:
    """Sorts files by what they are to the task.

    Args:
        samples, tables: path and name of each.
    """

    def __init__(self, endpoint: EndpointSchema, remarks: Remarks) -> None:
        self._form, self._remarks = endpoint.form, remarks
        self._takes_files = bool(endpoint.media)
        self._takes_csv = any(media == "text/csv" for media in endpoint.media)
        self.samples: list[tuple[Path, str]] = []
        self.tables: list[tuple[Path, str]] = []

    @property
    def expected(self) -> str:
        """What is looked for."""
        own = {"image": "pictures", "sound": "sounds", "text": "texts (.txt)", "json": "series (.csv)"}[self._form]
        tables = "Parquet, CSV, TSV or JSON lines (.parquet .csv .tsv .jsonl)"
        return f"{own}, or {tables}" if self._takes_files else tables

    def add(self, path: Path, prefix: str) -> None:
        """Add a file, or the files of a folder.

        Args:
            prefix: of the names; "": names are relative to the folder.
        """
        if path.is_dir():
            for _ in os.walk(path, onerror=_refuse_folder):
                pass  # `visible_files.walk` passes over folders that cannot be read
            for file in visible_files.walk(path, self._remarks):
                name = _text(file.relative_to(path))
                self._add(file, f"{prefix.rstrip('/')}/{name}" if prefix else name, is_named=False)
        elif path.is_file():
            self._add(path, prefix or _text(Path(path.name)), is_named=True)
        else:
            raise NotFoundError(
                "no such file or folder, and no dataset of this name",
                where=str(path),
                next_step="`modelyard datasets` lists the datasets",
            )

    def _add(self, path: Path, name: str, *, is_named: bool) -> None:
        kind = table_form.kind_of(path.name)
        is_sample = self._takes_csv and kind in ("csv", "tsv")
        if kind is not None and not is_sample:
            self.tables.append((path, name))
        elif self._takes_files and (is_named or is_sample or self._is_sample(path)):
            self.samples.append((path, name))
        elif is_named:
            raise UsageError("not a file that this model reads", got=name, expected=self.expected)
        else:
            suffix = path.suffix.lower()
            self._remarks.add(f"files {suffix or 'without a suffix'} are left out", name)

    def _is_sample(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        if self._form == "image":
            return suffix in image_names.SUFFIXES or (not suffix and _begins_as_image(path))
        return suffix in {"sound": wav_folder.SUFFIXES, "text": _TEXTS}.get(self._form, frozenset[str]())


def _begins_as_image(path: Path) -> bool:
    try:
        return image_names.is_image(path)
    except OSError:
        return False


def _text(path: Path) -> str:
    """A path as text that can be written: bytes of names that are no UTF-8 are shown as escapes."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def total_bytes(paths: Sequence[str]) -> int:
    """The size of all files."""
    return sum(Path(path).stat().st_size for path in paths)


def states(paths: Iterable[str]) -> list[tuple[int, int, int]]:
    """What changes when a file is written: inode, size, time of the last change."""
    found = []
    for path in paths:
        about = Path(path).stat()
        found.append((about.st_ino, about.st_size, about.st_mtime_ns))
    return found
