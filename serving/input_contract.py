"""What a slot accepts: the expectations of its training data that one row can miss, where they are enforced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.row_expectations import FILE_NAME, Enforce, RowSuite
from components.core.errors import CorruptArtifactError, SampleError
from components.inference.predictor import Arrays, Predictor
from components.inference.row_judge import Missed, RowJudge
from components.tasks import input_rows

CODE = "expectation"  # of a refusal
MOST_TOLD = 50  # missed expectations in one answer or refusal
_MOST_NAMED = 8  # columns in the header
_PARTS = (input_rows.PREPARED, input_rows.RAW)


class Judgement(NamedTuple):
    """The rows of a request, and what they miss.

    Args:
        rows: columns by name, of the parts that are enforced.
        parts: of the expectations that the rows have.
        missed: at most `MOST_TOLD`.
    """

    rows: dict[str, list[Any]]
    parts: frozenset[str]
    missed: tuple[Missed, ...]


class UnexpectedInputError(SampleError):
    """A sample misses an expectation of the training data, and the pipeline says that such samples are refused."""

    def __init__(self, missed: Sequence[Missed], item: str) -> None:
        first = missed[0]
        super().__init__(
            f"the input misses an expectation of the training data: {first.description or first.type}",
            code=CODE,
            where=f"{item} {first.sample}, column {first.column}",
            got="no value" if first.value is None else first.value,
            expected=first.expected,
        )
        self.missed = tuple(missed)


class InputContract:
    """Holds the requests of a slot against the expectations of its bundle.

    Args:
        enforce: `reject` or `flag`.
    """

    def __init__(self, suite: RowSuite, enforce: Enforce) -> None:
        self._judge, self._refuses = RowJudge(suite), enforce == "reject"
        self._parts = frozenset(part for part in _PARTS for name in self._judge.columns if name.startswith(part))

    @staticmethod
    def load(bundle: Path, enforce: Enforce) -> InputContract | None:
        """The contract of a bundle's source folder; None where nothing is enforced.

        Raises:
            CorruptArtifactError: its expectations cannot be read.
        """
        if enforce == "none":
            return None
        path = bundle / FILE_NAME
        try:
            suite = RowSuite.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise CorruptArtifactError(
                "the expectations that the bundle enforces cannot be read", where=str(path), got=error
            ) from error
        return InputContract(suite, enforce)

    def judge(self, predictor: Predictor, items: Sequence[Any], samples: Sequence[Arrays]) -> Judgement:
        """The rows of some samples, and what they miss.

        Raises:
            UnexpectedInputError: they miss something, and such samples are refused.
        """
        rows = input_rows.rows(predictor.task, predictor.processor, items, samples, self._parts)
        missed = self._judge.judge(rows, len(items))
        if missed and self._refuses:
            raise UnexpectedInputError(missed[:MOST_TOLD], predictor.endpoint.item)
        return Judgement(rows, self._parts, tuple(missed[:MOST_TOLD]))


def header(missed: Sequence[Missed]) -> bytes:
    """The columns that miss an expectation, as a list of JSON in ASCII."""
    names = list(dict.fromkeys(one.column for one in missed))[:_MOST_NAMED]
    return json.dumps([name[:100] for name in names]).encode()


def shared_rows(predictor: Predictor, judgements: Sequence[Judgement]) -> dict[str, list[Any]]:
    """The whole rows of several requests, if each was judged on all parts that the task's rows have; else {}."""
    wanted = set(_PARTS) if input_rows.has_raw_columns(predictor.task) else {input_rows.PREPARED}
    found = [one.rows for one in judgements if wanted <= one.parts]
    if len(found) < len(judgements):
        return {}
    names = dict.fromkeys(name for rows in found for name in rows)
    counts = [len(next(iter(rows.values()), ())) for rows in found]
    return {
        name: [value for rows, count in zip(found, counts, strict=True) for value in rows.get(name, [None] * count)]
        for name in names
    }
