"""What a package answers on the frozen test split, through the class that answers in its bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from components.core.errors import (
    CorruptArtifactError,
    InferenceError,
    ModelyardError,
    NotFoundError,
    SampleError,
)
from components.core.progress import Progress
from components.evaluation import scorer
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.gates.reencoding import reread
from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor

TOKENIZER = "tokenizer.json"


class Unfit(NamedTuple):
    """A package that cannot be asked about this data, and why."""

    reason: str


def score(package: Package, frozen: FrozenSplit, label: str, *, own_reading: bool = False) -> Scored | Unfit:
    """Answer every sample of the test split.

    Args:
        own_reading: a package that reads samples otherwise than the data (it was trained on other data, whose tokenizer
            or scaler it has) is given the raw samples in its own way; else it is unfit.
    """
    if package.facts.task != frozen.task.name:
        return Unfit(f"its task is {package.facts.task}, the data's is {frozen.task.name}")
    try:
        predictor = Predictor(package, threads=os.cpu_count() or 1)
        problem = unlike(predictor, frozen)
        if problem and not own_reading:
            return Unfit(problem)
        with TemporaryDirectory(prefix="modelyard-") as scratch:
            if problem:
                try:
                    frozen = reread(frozen, predictor.processor, Path(scratch))
                except ModelyardError as error:
                    return Unfit(f"{problem}; {_said(error)}")
                label += ", which reads samples in its own way"
            asking = scorer.of(frozen.task)
            with Progress(f"scoring {label}", scorer.expected_samples(asking, frozen)) as progress:
                return asking.score(predictor, frozen, progress.advance)
    except (SampleError, InferenceError, CorruptArtifactError, NotFoundError) as error:
        return Unfit(_said(error))


def _said(error: ModelyardError) -> str:
    return "; ".join(line.strip() for line in error.lines())


def unlike(predictor: Predictor, frozen: FrozenSplit) -> str | None:
    """Why the prepared arrays mean something else to a package than to the data, if they do.

    Statistics that the network itself applies may differ. What the arrays are made with may not: another tokenizer
    gives the same text other numbers, another scaler the same values other ones. The data's golden examples show it.
    """
    processor = predictor.processor
    stored = {spec.name: spec for spec in frozen.specs}
    for spec in processor.arrays():
        if spec.name not in processor.inputs():
            continue
        found = stored.get(spec.name)
        if found is None or (found.type, found.shape, found.layout) != (spec.type, spec.shape, spec.layout):
            has = "none" if found is None else f"{found.type} {list(found.shape)}"
            return (
                f"{spec.name} of the wrong shape: the package takes {spec.type} {list(spec.shape)}, the data has {has}"
            )
        if spec.layout == "window" and (found.start, found.stop) != (spec.start, spec.stop):
            said = f"{found.start} to {found.stop}"
            return f"{spec.name} are other windows: rows {spec.start} to {spec.stop}, the data's {said}"
    own, data = (folder / TOKENIZER for folder in (predictor.package.folder, frozen.folder))
    if own.is_file() and not (data.is_file() and own.read_bytes() == data.read_bytes()):
        return "its tokenizer is not the data's: the same text has other token numbers"
    for content, media in golden(frozen.folder / "golden"):
        ours = body.read(processor, predictor.endpoint, content, media)
        theirs = body.read(frozen.processor, frozen.processor.endpoint(frozen.classes), content, media)
        for one, other in zip(ours.items, theirs.items, strict=True):
            arrays = (
                processor.read(one, max_pixels=predictor.max_pixels),
                frozen.processor.read(other, max_pixels=predictor.max_pixels),
            )
            if arrays[0].keys() != arrays[1].keys() or not all(
                np.array_equal(values, arrays[1][name]) for name, values in arrays[0].items()
            ):
                return "it reads the same sample as other arrays than the data has: its scaler or its cut is another"
    return None


def golden(folder: Path) -> Iterator[tuple[bytes, str]]:
    """The data's golden examples: body and media type."""
    index = folder / "index.json"
    for entry in json.loads(index.read_bytes()) if index.is_file() else []:
        yield (folder / entry["file"]).read_bytes(), entry["media"]
