"""Open a source by its spec as a stream of samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.contracts.dataset import FolderSource, SklearnSource, Source, TableSource, UrlSource
from components.contracts.dataset_layout import (
    CifarLayout,
    CocoLayout,
    ConllLayout,
    FolderLayout,
    IdxLayout,
    Layout,
    PairsLayout,
    TableLayout,
    VocLayout,
    WavLayout,
    WindowsLayout,
)
from components.ingestion import (
    cifar,
    class_folder,
    coco,
    conll,
    digits,
    idx,
    pairs,
    table,
    unpacked,
    voc,
    wav_folder,
    windows,
)
from components.ingestion.sample import Sample


@contextmanager
def open_source(source: Source, folder: Path) -> Iterator[Iterator[Sample]]:
    """The samples of a source; they can be read once, inside the block.

    Args:
        folder: the dataset's folder, the base of relative paths.

    Raises:
        SourceError: the source cannot be fetched or read; also while the samples are read.
    """
    match source:
        case SklearnSource():
            yield digits.samples()
        case UrlSource():
            with unpacked.files(source.files, folder.name) as source_folder:
                yield _read(source.layout, source_folder)
        case FolderSource():
            with unpacked.folder(folder / source.path, folder.name) as source_folder:
                yield _read(source.layout or FolderLayout(kind="folder", splits=source.splits), source_folder)
        case TableSource():
            path = folder / source.path
            fields = source.model_dump(exclude={"path"})
            yield table.samples(TableLayout(**fields, files={"": path.name}), path.parent)


def _read(layout: Layout, folder: Path) -> Iterator[Sample]:
    match layout:
        case FolderLayout():
            return class_folder.samples(layout, folder / layout.root)
        case IdxLayout():
            return idx.samples(layout, folder)
        case CifarLayout():
            return cifar.samples(layout, folder)
        case TableLayout():
            return table.samples(layout, folder)
        case WindowsLayout():
            return windows.samples(layout, folder)
        case ConllLayout():
            return conll.samples(layout, folder)
        case PairsLayout():
            return pairs.samples(layout, folder)
        case VocLayout():
            return voc.samples(layout, folder)
        case CocoLayout():
            return coco.samples(layout, folder)
        case WavLayout():
            return wav_folder.samples(layout, folder)
