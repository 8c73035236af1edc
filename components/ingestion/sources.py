"""Opens a source by its spec as a stream of samples."""

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
def opened(source: Source, folder: Path) -> Iterator[Iterator[Sample]]:
    """The samples of a source, to be read once inside the block.

    Args:
        folder: the dataset's folder, the base of relative paths.

    Raises:
        SourceError: the source cannot be fetched or read; also while the samples are read.
    """
    match source:
        case SklearnSource():
            yield digits.samples()
        case UrlSource():
            with unpacked.files(source.files, folder.name) as place:
                yield _read(source.layout, place)
        case FolderSource():
            with unpacked.folder(folder / source.path, folder.name) as place:
                yield _read(source.layout or FolderLayout(kind="folder", splits=source.splits), place)
        case TableSource():
            path = folder / source.path
            fields = source.model_dump(exclude={"path"})
            yield table.samples(TableLayout(**fields, files={"": path.name}), path.parent)


def _read(layout: Layout, place: Path) -> Iterator[Sample]:
    match layout:
        case FolderLayout():
            return class_folder.samples(layout, place / layout.root)
        case IdxLayout():
            return idx.samples(layout, place)
        case CifarLayout():
            return cifar.samples(layout, place)
        case TableLayout():
            return table.samples(layout, place)
        case WindowsLayout():
            return windows.samples(layout, place)
        case ConllLayout():
            return conll.samples(layout, place)
        case PairsLayout():
            return pairs.samples(layout, place)
        case VocLayout():
            return voc.samples(layout, place)
        case CocoLayout():
            return coco.samples(layout, place)
        case WavLayout():
            return wav_folder.samples(layout, place)
