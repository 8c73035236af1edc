"""Raw images -> memory-mapped arrays by split, in two passes of flat memory.

The first pass decodes each image once, into one scratch file, and keeps 11 bytes a sample: its key for the draw, its
label, its split. The second shares the scratch file out. Everything is read and written a row group at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts import atomic, located_yaml, manifest
from components.contracts.dataset import DatasetSpec, ImageSpec
from components.contracts.errors import CorruptArtifactError, SampleError
from components.contracts.progress import Progress
from components.contracts.project import Project
from components.ingestion import sample_file
from components.preprocessing import golden, splits
from components.preprocessing.image import ImageProcessor, decode
from components.preprocessing.pixel_statistics import PixelStatistics
from components.preprocessing.split_files import SplitFiles


class _Index(NamedTuple):
    """What is held of all samples at once: (N,) each."""

    keys: NDArray[np.uint64]
    labels: NDArray[np.uint16]
    given: NDArray[np.uint8]


def prepare(folder: Path) -> manifest.Manifest:
    """Fill `.modelyard/staging/<dataset>/prepared` from `raw/`; atomic.

    Raises:
        CorruptArtifactError: raw/ or validated/ is not what its manifest says, or they do not belong together.
        SampleError: an image cannot be decoded.
    """
    spec = located_yaml.read(folder / "dataset.yaml", DatasetSpec)
    raw = manifest.verify(folder / "raw", "raw")
    validated = manifest.verify(folder / "validated", "validated")
    if validated.facts["raw_digest"] != raw.digest:
        raise CorruptArtifactError(
            "the verdict is on other raw data",
            where=str(folder / "validated"),
            got=validated.facts["raw_digest"],
            expected=raw.digest,
            next_step="run validate again",
        )
    classes = sorted(raw.facts["labels"])
    target = Project(Path()).state / "staging" / spec.name / "prepared"
    with atomic.folder(target) as fresh:
        scratch = fresh / "scratch"
        index = _decode(folder / "raw" / "samples.parquet", scratch, spec, classes, int(raw.facts["samples"]))
        assigned = splits.assign(index.keys, index.labels, index.given, spec.split)
        counts = {name: int((assigned == number).sum()) for number, name in enumerate(splits.SPLITS)}
        shape = (spec.image.height, spec.image.width, spec.image.channels)
        statistics = PixelStatistics(spec.image.channels)
        with SplitFiles(fresh, counts, shape) as files, scratch.open("rb") as pixels:
            start = 0
            for (ids,) in sample_file.read(folder / "raw" / "samples.parquet", ["id"]):
                rows = slice(start, start + len(ids))
                tensors = _read(pixels, len(ids), shape)  # (N, H, W, C)
                statistics.add(tensors[assigned[rows] == splits.TRAIN])
                names = [classes[label] for label in index.labels[rows]]
                files.append(ids, names, tensors, index.labels[rows], assigned[rows])
                start += len(ids)
        scratch.unlink()
        mean, std = statistics.result()
        processor = ImageProcessor(**spec.image.model_dump(), mean=mean, std=std)
        golden.write(folder / "raw" / "samples.parquet", fresh / "golden", assigned, index.labels, classes)
        facts = {
            "dataset": spec.name,
            "task": spec.task,
            "raw_digest": raw.digest,
            "validated_digest": validated.digest,
            "classes": classes,
            "counts": counts,
            "processor": processor.model_dump(mode="json"),
        }
        return manifest.seal(fresh, "prepared", facts)


def _decode(table: Path, scratch: Path, spec: DatasetSpec, classes: list[str], count: int) -> _Index:
    numbers = {name: number for number, name in enumerate(classes)}
    given_numbers = {name: number for number, name in enumerate(splits.SPLITS)}
    keys, labels = np.empty(count, np.uint64), np.empty(count, np.uint16)
    given = np.empty(count, np.uint8)
    row = 0
    with scratch.open("wb") as out, Progress(f"decoding {spec.name}", count) as progress:
        for columns in sample_file.read(table):
            for identity, split, label, content in zip(*columns, strict=True):
                pixels = _pixels(content, spec.image, identity)
                out.write(pixels)
                keys[row], labels[row] = splits.key(pixels, spec.split.seed), numbers[label]
                given[row] = given_numbers.get(split, splits.OPEN)
                row += 1
            progress.advance(len(columns[0]))
    return _Index(keys, labels, given)


def _pixels(content: bytes, image: ImageSpec, identity: str) -> bytes:
    try:
        return decode(content, image.height, image.width, image.channels).tobytes()
    except SampleError as error:
        raise SampleError(
            error.what,
            where=identity,
            got=error.got,
            expected=error.expected,
            next_step="take the image out of the source, or expect `readable` of every sample in expectations.json",
        ) from error


def _read(pixels: IO[bytes], count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.frombuffer(pixels.read(count * int(np.prod(shape))), np.uint8).reshape(count, *shape)
