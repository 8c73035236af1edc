"""What a package answers on the frozen test split, through the class that answers in its bundle."""

from __future__ import annotations

import os
from typing import NamedTuple

from components.contracts.errors import CorruptArtifactError, InferenceError, NotFoundError, SampleError
from components.contracts.package import Package
from components.contracts.progress import Progress
from components.evaluation import scorer
from components.evaluation.frozen import Frozen
from components.evaluation.scorer import Scored
from components.inference.predictor import Predictor
from components.tasks.task import Processor

TOKENIZER = "tokenizer.json"


class Unfit(NamedTuple):
    """A package that cannot be asked about this data, and why."""

    reason: str


def score(package: Package, frozen: Frozen, label: str) -> Scored | Unfit:
    """Answer every sample of the test split."""
    if package.facts.task != frozen.task.name:
        return Unfit(f"its task is {package.facts.task}, the data's is {frozen.task.name}")
    try:
        predictor = Predictor(package, threads=os.cpu_count() or 1)
        if problem := unlike(package, predictor.processor, frozen):
            return Unfit(problem)
        with Progress(f"scoring {label}", len(frozen)) as progress:
            return scorer.of(frozen.task).score(predictor, frozen, progress.advance)
    except (SampleError, InferenceError, CorruptArtifactError, NotFoundError) as error:
        return Unfit("; ".join(line.strip() for line in error.lines()))


def unlike(package: Package, processor: Processor, frozen: Frozen) -> str | None:
    """Why the prepared arrays mean something else to a package than to the data, if they do.

    Statistics may differ: the network itself standardises. Token numbers may not: they are words of one tokenizer.
    """
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
            theirs = f"{found.start} to {found.stop}"
            return f"{spec.name} are other windows: rows {spec.start} to {spec.stop}, the data's {theirs}"
    if processor.given().kind == "tokens":
        own, data = (place / TOKENIZER for place in (package.folder, frozen.folder))
        same = own.is_file() == data.is_file() and (not own.is_file() or own.read_bytes() == data.read_bytes())
        if not same or processor.given() != frozen.processor.given():
            return "its tokenizer is not the data's: the same text has other token numbers"
    return None
