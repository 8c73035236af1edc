"""A part of an output: one piece, scored and written, with its seal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from components.core import atomic
from components.core.errors import InferenceError, SampleError
from components.core.strict import Strict
from components.identity import digest
from components.inference.predictor import Arrays, Predictor
from components.scoring import input_table
from components.scoring.cells import SampleProblem, problem_of
from components.scoring.outputs import SUFFIXES, OutputTable
from components.scoring.piece import Piece
from components.scoring.samples import SampleReader, Samples
from components.tasks.table_processor import TableProcessor
from components.tasks.task import Prediction

_READ = 256  # samples that are read at once
PREDICTIONS, INPUTS, SEALS, RESULT = "predictions", "inputs", "parts", "result"  # folders


class PartError(Strict):
    """A sample without an answer."""

    place: str
    code: str
    problem: str


class PartSeal(Strict):
    """What a part was made of, and what it holds.

    Args:
        run: digest of the model and of the options.
        piece: digest of the piece's content as it was cut.
        input: digest of what was read.
        samples, answered: numbers.
        replaced: samples with U+FFFD, which stands for bytes that could not be decoded.
        files: sha256 by path below the folder of the result.
        errors: samples without an answer.
        labels: number of answers of each label, of a task with one.
    """

    run: str
    piece: str
    input: str
    samples: int
    answered: int
    replaced: int
    files: dict[str, str]
    errors: list[PartError]
    labels: dict[str, int]


class PartScorer:
    """Scores pieces and writes their parts.

    Args:
        folder: the working folder.
        run: digest of the model and of the options, for the seals.
        batch: how many samples are computed together.
        kind: format of the predictions.
        settings: of the task in its dataset; None: the dataset is not here.
    """

    def __init__(
        self, folder: Path, run: str, predictor: Predictor, reader: SampleReader, output: OutputTable, parameters: Any,
        batch: int, kind: str, settings: Any = None,
    ) -> None:  # fmt: skip
        self._folder, self._run, self._batch, self._kind, self._settings = folder, run, batch, kind, settings
        self._predictor, self._reader, self._output, self._parameters = predictor, reader, output, parameters

    def score(self, piece: Piece) -> PartSeal:
        """Score a piece and write its part; a part that is there is replaced.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
        """
        samples = self._reader.read(piece)
        arrays = self._arrays(samples)
        predictions, embeddings = self._answers(samples, arrays)
        answered = sorted(predictions)
        table = self._output.table(samples, answered, [predictions[number] for number in answered])
        errors = [
            PartError(place=samples.places[number], code=item.code, problem=item.text)
            for number, item in enumerate(samples.items)
            if isinstance(item, SampleProblem)
        ]
        rows = input_table.table(
            self._predictor,
            samples,
            answered,
            [arrays[number] for number in answered],
            self._settings,
            np.stack([embeddings[number] for number in answered]) if answered and embeddings else None,
        )
        files = {
            f"{PREDICTIONS}/{name_of(piece.number)}{SUFFIXES[self._kind]}": self._output.encode(table, self._kind),
            f"{INPUTS}/{name_of(piece.number)}.parquet": input_table.encode(rows),
        }
        seal = PartSeal(
            run=self._run,
            piece=piece.digest(),
            input=samples.input,
            samples=len(samples.items),
            answered=len(answered),
            replaced=sum(_has_replaced(item) for item in samples.items),
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            errors=errors,
            labels=_labels(predictions.values()),
        )
        for name, content in files.items():
            atomic.write_bytes(self._folder / RESULT / name, content)
        atomic.write_text(seal_file(self._folder, piece.number), seal.model_dump_json() + "\n")
        return seal

    def _arrays(self, samples: Samples) -> dict[int, Arrays]:
        """The arrays of the samples that can be read, by number; the others become problems."""
        found: dict[int, Arrays] = {}
        numbers = [number for number, item in enumerate(samples.items) if not isinstance(item, SampleProblem)]
        for start in range(0, len(numbers), _READ):
            chosen = numbers[start : start + _READ]
            try:
                found.update(zip(chosen, self._read([samples.items[number] for number in chosen]), strict=True))
            except SampleError:
                for number in chosen:
                    try:
                        (found[number],) = self._predictor.read([samples.items[number]])
                    except SampleError as error:
                        samples.items[number] = problem_of(error)
        return found

    def _read(self, items: list[Any]) -> list[Arrays]:
        """The arrays of items; rows of a table all at once, which gives the same arrays as one by one."""
        processor = self._predictor.processor
        if isinstance(processor, TableProcessor) and all(isinstance(item, dict) for item in items):
            return processor.rows(items)
        return self._predictor.read(items)

    def _answers(
        self, samples: Samples, arrays: dict[int, Arrays]
    ) -> tuple[dict[int, Prediction], dict[int, NDArray[Any]]]:
        """Predictions and embeddings by number; where a batch fails, its samples are computed one by one."""
        found: dict[int, Prediction] = {}
        embeddings: dict[int, NDArray[Any]] = {}
        numbers = list(arrays)

        def compute(chosen: list[int]) -> None:
            answers = self._predictor.answer_and_embed([arrays[number] for number in chosen], self._parameters)
            found.update(zip(chosen, answers.predictions, strict=True))
            if answers.embeddings is not None:
                embeddings.update(zip(chosen, answers.embeddings, strict=True))

        for start in range(0, len(numbers), self._batch):
            chosen = numbers[start : start + self._batch]
            try:
                compute(chosen)
            except (InferenceError, SampleError):
                for number in chosen:
                    try:
                        compute([number])
                    except (InferenceError, SampleError) as error:
                        samples.items[number] = problem_of(error)
        return found, embeddings


def name_of(number: int) -> str:
    """The name of a part's files."""
    return f"part-{number:06d}"


def seal_file(folder: Path, number: int) -> Path:
    """The file of a part's seal."""
    return folder / SEALS / f"{name_of(number)}.json"


def read_seal(folder: Path, number: int) -> PartSeal | None:
    """The seal of a part; None if there is none that can be read."""
    try:
        return PartSeal.model_validate_json(seal_file(folder, number).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def is_whole(folder: Path, seal: PartSeal) -> bool:
    """Whether the files of a part are as sealed."""
    paths = {folder / RESULT / name: own for name, own in seal.files.items()}
    return all(path.is_file() and digest.of_file(path) == own for path, own in paths.items())


def _has_replaced(item: Any) -> bool:
    if isinstance(item, dict):
        return any(_has_replaced(value) for value in item.values())
    return isinstance(item, str) and "\ufffd" in item


def _labels(predictions: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for prediction in predictions:
        label = prediction.get("label")
        if isinstance(label, str):
            counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items()))
