"""Open a source by its spec as a stream of samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.contracts.dataset import FolderSource, SklearnSource, Source, TableSource, UrlSource
from components.contracts.dataset_layout import (
    BoxTableLayout,
    CifarLayout,
    CocoLayout,
    ConllLayout,
    FolderLayout,
    IdxLayout,
    InstructionLayout,
    LabelStudioLayout,
    Layout,
    MasksLayout,
    PairsLayout,
    SpanLayout,
    TableLayout,
    TranscriptLayout,
    VocLayout,
    WavLayout,
    WindowsLayout,
    YoloLayout,
)
from components.ingestion import (
    box_table,
    cifar,
    class_folder,
    coco,
    coco_masks,
    conll,
    diabetes,
    digits,
    idx,
    instructions,
    label_studio,
    masks,
    pairs,
    span_documents,
    table,
    transcripts,
    unpacked,
    visible_files,
    voc,
    wav_folder,
    windows,
    yolo,
)
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample


@contextmanager
def open_source(source: Source, folder: Path, remarks: Remarks) -> Iterator[Iterator[Sample]]:
    """The samples of a source; they can be read once, inside the block.

    Args:
        folder: the dataset's folder, the base of relative paths.
        remarks: what is left out is added to it while the samples are read.

    Raises:
        SourceError: the source cannot be fetched or read; also while the samples are read.
    """
    match source:
        case SklearnSource():
            yield diabetes.samples() if source.name == "diabetes" else digits.samples()
        case UrlSource():
            with unpacked.files(source.files, folder.name, source.names) as source_folder:
                yield _read(source.layout, source_folder, remarks)
        case FolderSource():
            with unpacked.folder(folder / source.path, folder.name, source.names) as source_folder:
                # An archive of a folder holds the folder itself.
                is_archive = source_folder != folder / source.path and source.layout is None
                root = visible_files.innermost(source_folder) if is_archive else source_folder
                layout = source.layout or FolderLayout(kind="folder", splits=source.splits)
                yield _read(layout, root, remarks)
        case TableSource():
            path = folder / source.path
            fields = source.model_dump(exclude={"path", "exclude", "added"})
            yield table.samples(TableLayout(**fields, files={"": path.name}), path.parent, remarks.say)


def _read(layout: Layout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    match layout:
        case FolderLayout():
            return class_folder.samples(layout, folder / layout.root, remarks)
        case IdxLayout():
            return idx.samples(layout, folder)
        case CifarLayout():
            return cifar.samples(layout, folder)
        case TableLayout():
            return table.samples(layout, folder, remarks.say)
        case WindowsLayout():
            return windows.samples(layout, folder)
        case ConllLayout():
            return conll.samples(layout, folder, remarks)
        case PairsLayout():
            return pairs.samples(layout, folder)
        case VocLayout():
            return voc.samples(layout, folder, remarks)
        case CocoLayout():
            read = coco.samples if layout.masks is None else coco_masks.samples
            return read(layout, folder, remarks)
        case MasksLayout():
            return masks.samples(layout, folder, remarks)
        case YoloLayout():
            return yolo.samples(layout, folder, remarks)
        case BoxTableLayout():
            return box_table.samples(layout, folder, remarks)
        case SpanLayout():
            return span_documents.samples(layout, folder, remarks)
        case LabelStudioLayout():
            return label_studio.samples(layout, folder, remarks)
        case InstructionLayout():
            return instructions.samples(layout, folder, remarks)
        case TranscriptLayout():
            return transcripts.samples(layout, folder)
        case WavLayout():
            return wav_folder.samples(layout, folder, remarks)
