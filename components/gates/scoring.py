"""Score a package on the frozen test split with `Predictor`, the class that predicts in its bundle."""

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
from components.gates.reencoding import reencode
from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor

TOKENIZER = "tokenizer.json"


class ScoringFailure(NamedTuple):
    """The reason why a package cannot be scored on this data."""

    reason: str


def score(
    package: Package, frozen: FrozenSplit, label: str, *, allow_reencoding: bool = False
) -> Scored | ScoringFailure:
    """Predict every sample of the test split.

    Args:
        allow_reencoding: a package whose processor differs from the data's (it was trained on other data) is scored on
            the raw samples, encoded by its own processor; if False, the result is a ScoringFailure.
    """
    if package.facts.task != frozen.task.name:
        return ScoringFailure(f"its task is {package.facts.task}, the data's is {frozen.task.name}")
    try:
        predictor = Predictor(package, threads=os.cpu_count() or 1)
        problem = incompatibility(predictor, frozen)
        if problem and not allow_reencoding:
            return ScoringFailure(problem)
        with TemporaryDirectory(prefix="modelyard-") as scratch:
            if problem:
                try:
                    frozen = reencode(frozen, predictor.processor, Path(scratch))
                except ModelyardError as error:
                    return ScoringFailure(f"{problem}; {_one_line(error)}")
                label += ", which reads samples in its own way"
            task_scorer = scorer.load_scorer(frozen.task)
            with Progress(f"scoring {label}", scorer.expected_samples(task_scorer, frozen)) as progress:
                return task_scorer.score(predictor, frozen, progress.advance)
    except (SampleError, InferenceError, CorruptArtifactError, NotFoundError) as error:
        return ScoringFailure(_one_line(error))


def _one_line(error: ModelyardError) -> str:
    return "; ".join(line.strip() for line in error.lines())


def incompatibility(predictor: Predictor, frozen: FrozenSplit) -> str | None:
    """Why a package cannot predict from the prepared arrays; None if it can.

    The processor of the package must make the same arrays as that of the data: with another tokenizer or scaler, the
    same sample has other values. The golden examples of the data are the test. Statistics that the network itself
    applies may differ.
    """
    processor = predictor.processor
    stored = {spec.name: spec for spec in frozen.specs}
    for spec in processor.arrays():
        if spec.name not in processor.inputs():
            continue
        prepared = stored.get(spec.name)
        if prepared is None or (prepared.type, prepared.shape, prepared.layout) != (spec.type, spec.shape, spec.layout):
            got = "none" if prepared is None else f"{prepared.type} {list(prepared.shape)}"
            return (
                f"{spec.name} of the wrong shape: the package takes {spec.type} {list(spec.shape)}, the data has {got}"
            )
        if spec.layout == "window" and (prepared.start, prepared.stop) != (spec.start, spec.stop):
            rows = f"{prepared.start} to {prepared.stop}"
            return f"{spec.name} are other windows: rows {spec.start} to {spec.stop}, the data's {rows}"
    own_tokenizer, data_tokenizer = (folder / TOKENIZER for folder in (predictor.package.folder, frozen.folder))
    if own_tokenizer.is_file() and not (
        data_tokenizer.is_file() and own_tokenizer.read_bytes() == data_tokenizer.read_bytes()
    ):
        return "its tokenizer is not the data's: the same text has other token numbers"
    for content, media in golden(frozen.folder / "golden"):
        ours = body.read(processor, predictor.endpoint, content, media)
        theirs = body.read(frozen.processor, frozen.processor.endpoint(frozen.classes), content, media)
        for own_item, data_item in zip(ours.items, theirs.items, strict=True):
            arrays = (
                processor.read(own_item, max_pixels=predictor.max_pixels),
                frozen.processor.read(data_item, max_pixels=predictor.max_pixels),
            )
            if arrays[0].keys() != arrays[1].keys() or not all(
                np.array_equal(values, arrays[1][name]) for name, values in arrays[0].items()
            ):
                return "it reads the same sample as other arrays than the data has: its scaler or its cut is another"
    return None


def golden(folder: Path) -> Iterator[tuple[bytes, str]]:
    """The golden examples of a dataset: body and media type."""
    index = folder / "index.json"
    for entry in json.loads(index.read_bytes()) if index.is_file() else []:
        yield (folder / entry["file"]).read_bytes(), entry["media"]
