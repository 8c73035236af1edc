"""The frozen test split encoded by the processor of another package: its tokenizer, scaler, look-back or image size.

raw samples of the test split ─► the package's processor ─► inputs ─┐
                                                                    ├─► FrozenSplit, same length and order
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
    """A split whose arrays replace the arrays of the same names in another split."""

    def __init__(self, above: StoredSplit, below: StoredSplit) -> None:
        own = {spec.name for spec in above.specs}
        self.specs = (*above.specs, *(spec for spec in below.specs if spec.name not in own))
        self._values = below._values | above._values
        self._offsets = below._offsets | above._offsets


def reencode(frozen: FrozenSplit, processor: Processor, scratch: Path) -> FrozenSplit:
    """Encode the raw samples of the test split with a processor: same samples, same order, the truth of the data.

    Args:
        processor: processor of the package to be scored.
        scratch: folder for the arrays; it must exist as long as the result is used.

    Raises:
        NotFoundError: the raw samples of the split are missing or of another version.
        SampleError: a sample does not fit the package, or the outputs of the package are not those of the data.
    """
    truth = getattr(scorer.load_scorer(frozen.task), "truth", None)  # a scorer of a plug-in may have none
    if truth is None:
        raise SampleError(f"figures of {frozen.task.name} that were read in two ways do not compare")
    raw = _raw_folder(frozen)
    specs = [spec for spec in processor.arrays() if spec.name not in truth]
    _check_targets([spec for spec in specs if spec.name not in processor.inputs()], frozen)
    if isinstance(processor, BaseModel) and hasattr(processor, "classes"):  # the truth has the data's class numbers
        processor = cast(Processor, processor.model_copy(update={"classes": frozen.classes}))
    with SplitFiles(scratch, specs) as files:
        for ids, values in _samples(raw / sample_file.FILE_NAME, frozen, specs):
            files.append(splits.TEST, ids, processor.encode(_decode(frozen.task, processor, values)))
    split = _Overlaid(StoredSplit(scratch / _TEST, specs), frozen.split)
    if len(split) != len(frozen):
        raise SampleError("the raw samples are not those of the split", got=len(split), expected=len(frozen))
    return FrozenSplit(
        frozen.folder,
        frozen.task,
        split.specs,
        split,
        frozen.classes,
        frozen.processor,
        frozen.overlap,
        frozen.clusters,
    )


def _raw_folder(frozen: FrozenSplit) -> Path:
    """The folder of the raw samples that a prepared dataset was made of."""
    raw = frozen.folder.parent / "raw"
    raw_digest = manifest.load(frozen.folder, "prepared").facts.get("raw_digest")
    if not raw.is_dir() or manifest.verify(raw, "raw").digest != raw_digest:
        raise NotFoundError(
            "to read the test split in its way takes the raw samples, which are not here",
            where=str(raw),
            next_step="run the pipeline, which makes them",
        )
    return raw


def _check_targets(specs: Sequence[ArraySpec], frozen: FrozenSplit) -> None:
    """Check that the package's targets have the type and shape of the data's: the horizon, the kind of tags."""
    stored = {spec.name: spec for spec in frozen.specs}
    for spec in specs:
        stored_spec = stored.get(spec.name)
        if stored_spec is None or (spec.type, spec.shape, spec.layout, spec.stop - spec.start) != (
            stored_spec.type, stored_spec.shape, stored_spec.layout, stored_spec.stop - stored_spec.start
        ):  # fmt: skip
            got, expected = _describe(spec), "no such array" if stored_spec is None else _describe(stored_spec)
            raise SampleError("it answers another question than the data asks", got=got, expected=expected)


def _describe(spec: ArraySpec) -> str:
    rows = f" of {spec.stop - spec.start} rows" if spec.layout == "window" else ""
    return f"{spec.name}{rows}, {spec.type} {list(spec.shape)}"


def _samples(table: Path, frozen: FrozenSplit, specs: Sequence[ArraySpec]) -> Iterator[tuple[list[str], list[Values]]]:
    """Ids and fields of the raw samples of the split, in order, a row group at a time."""
    listed = pq.read_table(frozen.folder / "samples.parquet", columns=["split", "row", "id"]).to_pylist()
    ids = [entry["id"] for entry in sorted(listed, key=lambda entry: entry["row"]) if entry["split"] == _TEST]
    windows = [spec for spec in specs if spec.layout == "window"]
    if windows:  # the id of a window is that of the first row after its look-back
        all_ids = sample_file.ids(table)
        look_back, length = max(spec.start for spec in windows), max(spec.stop for spec in windows)
        first = all_ids.index(ids[0]) - look_back
        if first < 0:
            raise SampleError("it looks back further than the data goes", got=look_back, expected=look_back + first)
        ids = all_ids[first : first + len(frozen) - 1 + length]
    selected = set(ids)
    for group in sample_file.groups(table):
        samples = [sample for sample in group if sample.id in selected]
        if samples:
            yield [sample.id for sample in samples], [sample.values for sample in samples]


def _decode(task: Task, processor: Processor, values: list[Values]) -> list[RawSample]:
    """Decode raw samples with the settings of the package's dataset; the processor has them as fields."""
    if not task.payload_field:
        return [RawSample(one, {}) for one in values]
    fields = {name: getattr(processor, name) for name in task.settings.model_fields if hasattr(processor, name)}
    try:
        settings: Any = task.settings.model_validate(fields)
    except ValidationError as error:
        raise SampleError("its processor does not say how samples are decoded", got=error) from error
    return [RawSample(one, task.decode(one, settings)) for one in values]
