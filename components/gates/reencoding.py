"""The frozen test split as another package reads it: with its own tokenizer, scaler, look-back or image size.

raw samples of the test split ─► the package's processor ─► inputs ─┐
                                                                    ├─► Frozen, as long and in the same order
prepared test split ──────────────────────────────────────► truth ──┘
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from components.contracts.array_spec import ArraySpec
from components.core.errors import NotFoundError, SampleError
from components.evaluation import scorer
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.ingestion import sample_file
from components.preparation import splits
from components.preparation.split_files import SplitFiles
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Processor, RawSample, Task, Values

_TEST = splits.SPLITS[splits.TEST]


class _Overlaid(StoredSplit):
    """A split with some of its arrays put in the place of another's."""

    def __init__(self, above: StoredSplit, below: StoredSplit) -> None:
        own = {spec.name for spec in above.specs}
        self.specs = (*above.specs, *(spec for spec in below.specs if spec.name not in own))
        self._values = below._values | above._values
        self._offsets = below._offsets | above._offsets


def reread(frozen: FrozenSplit, processor: Processor, scratch: Path) -> FrozenSplit:
    """The same samples in the same order; the truth stays the data's, but for what stands beside the inputs.

    Args:
        processor: of the package that is to be asked.
        scratch: a folder that is there for as long as the answer is used.

    Raises:
        NotFoundError: the raw samples that the split was made of are not here.
        SampleError: a sample does not fit the package, or what it is asked for is not what the data has.
    """
    truth = getattr(scorer.of(frozen.task), "truth", None)  # a scorer from outside may not say
    if truth is None:
        raise SampleError(f"figures of {frozen.task.name} that were read in two ways do not compare")
    raw = _raw(frozen)
    specs = [spec for spec in processor.arrays() if spec.name not in truth]
    _check([spec for spec in specs if spec.name not in processor.inputs()], frozen)
    if isinstance(processor, BaseModel) and hasattr(processor, "classes"):  # truth is numbered as the data's
        processor = cast(Processor, processor.model_copy(update={"classes": frozen.classes}))
    with SplitFiles(scratch, specs) as files:
        for ids, values in _samples(raw / sample_file.FILE_NAME, frozen, specs):
            files.append(splits.TEST, ids, processor.encode(_decoded(frozen.task, processor, values)))
    split = _Overlaid(StoredSplit(scratch / _TEST, specs), frozen.split)
    if len(split) != len(frozen):
        raise SampleError("the raw samples are not those of the split", got=len(split), expected=len(frozen))
    return FrozenSplit(frozen.folder, frozen.task, split.specs, split, frozen.classes, frozen.processor)


def _raw(frozen: FrozenSplit) -> Path:
    """The raw samples beside a prepared dataset, if it was made of them."""
    raw = frozen.folder.parent / "raw"
    wanted = manifest.load(frozen.folder, "prepared").facts.get("raw_digest")
    if not raw.is_dir() or manifest.verify(raw, "raw").digest != wanted:
        raise NotFoundError(
            "to read the test split in its way takes the raw samples, which are not here",
            where=str(raw),
            next_step="run the pipeline, which makes them",
        )
    return raw


def _check(specs: Sequence[ArraySpec], frozen: FrozenSplit) -> None:
    """What is answered must be the same question: as many steps ahead, the same kind of tags."""
    stored = {spec.name: spec for spec in frozen.specs}
    for spec in specs:
        other = stored.get(spec.name)
        if other is None or (spec.type, spec.shape, spec.layout, spec.stop - spec.start) != (
            other.type, other.shape, other.layout, other.stop - other.start
        ):  # fmt: skip
            got, expected = _words(spec), "no such array" if other is None else _words(other)
            raise SampleError("it answers another question than the data asks", got=got, expected=expected)


def _words(spec: ArraySpec) -> str:
    rows = f" of {spec.stop - spec.start} rows" if spec.layout == "window" else ""
    return f"{spec.name}{rows}, {spec.type} {list(spec.shape)}"


def _samples(table: Path, frozen: FrozenSplit, specs: Sequence[ArraySpec]) -> Iterator[tuple[list[str], list[Values]]]:
    """Ids and fields of what the split is made of, in its order, a row group at a time."""
    listed = pq.read_table(frozen.folder / "samples.parquet", columns=["split", "row", "id"]).to_pylist()
    ids = [entry["id"] for entry in sorted(listed, key=lambda entry: entry["row"]) if entry["split"] == _TEST]
    windows = [spec for spec in specs if spec.layout == "window"]
    if windows:  # a window is named by the first row after those looked back upon
        every = sample_file.ids(table)
        look_back, length = max(spec.start for spec in windows), max(spec.stop for spec in windows)
        first = every.index(ids[0]) - look_back
        if first < 0:
            raise SampleError("it looks back further than the data goes", got=look_back, expected=look_back + first)
        ids = every[first : first + len(frozen) - 1 + length]
    wanted = set(ids)
    for group in sample_file.groups(table):
        chosen = [sample for sample in group if sample.id in wanted]
        if chosen:
            yield [sample.id for sample in chosen], [sample.values for sample in chosen]


def _decoded(task: Task, processor: Processor, values: list[Values]) -> list[RawSample]:
    """As the package's own dataset had them decoded: its processor keeps those settings."""
    if not task.payload_field:
        return [RawSample(one, {}) for one in values]
    fields = {name: getattr(processor, name) for name in task.settings.model_fields if hasattr(processor, name)}
    try:
        settings: Any = task.settings.model_validate(fields)
    except ValidationError as error:
        raise SampleError("its processor does not say how samples are decoded", got=error) from error
    return [RawSample(one, task.decode(one, settings)) for one in values]
