"""`expectations.json`: Great Expectations for the raw data and for the prepared data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from components.core import located_yaml
from components.core.errors import NotFoundError, Problem, SpecError
from components.identity import digest
from components.validation import stored_outcomes
from components.validation.outcome import COLUMN_KEYS, ExpectationSpec, Judge, Outcome
from components.validation.stored_table import StoredTable, batches
from components.validation.verdict import MAX_FAILING, ExpectationResult, FailingSample, Verdict

ROW_COUNTS = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
_NUMBERS = ("value", "min_value", "max_value")
_OF_NULLS = ("expect_column_values_to_be_null", "expect_column_values_to_not_be_null")


class SuiteFile(BaseModel):
    """The content of expectations.json."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    raw: list[ExpectationSpec]
    prepared: list[ExpectationSpec]


class Suite:
    """The checked expectations of one part."""

    def __init__(self, part: Literal["raw", "prepared"], expectations: list[ExpectationSpec]) -> None:
        self.part: Literal["raw", "prepared"] = part
        self.expectations = expectations
        self.digest = digest.of_value([expectation.model_dump(mode="json") for expectation in expectations])

    @staticmethod
    def read(path: Path, part: Literal["raw", "prepared"], columns: tuple[str, ...]) -> Suite:
        """Read one part of a suite file and check every expectation's arguments and columns.

        Raises:
            NotFoundError: the file is missing.
            SpecError: invalid JSON, unknown expectations, wrong arguments or unknown columns; names all problems.
        """
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise NotFoundError(f"no such file: {path}", next_step="write the dataset's expectations") from error
        except json.JSONDecodeError as error:
            raise SpecError(str(path), (Problem("", f"not JSON: {error.msg}", error.lineno),)) from error
        except UnicodeDecodeError as error:
            raise SpecError(str(path), (Problem("", "not UTF-8 text", got=str(error)),)) from error
        except RecursionError as error:
            raise SpecError(str(path), (Problem("", "not JSON: nested too deep"),)) from error
        document = located_yaml.read(path, SuiteFile)
        expectations = document.raw if part == "raw" else document.prepared
        problems = [
            problem
            for position, expectation in enumerate(expectations)
            for problem in _problems(f"{part}.{position}", expectation, columns)
        ]
        if not expectations:
            problems.append(Problem(part, "at least one expectation is needed"))
        if problems:
            raise SpecError(str(path), tuple(problems))
        return Suite(part, expectations)

    def with_added(self, count: int) -> Suite:
        """The suite for data that has more or fewer samples than its source: numbers of rows are about the source's.

        Args:
            count: of samples that `source.added` of dataset.yaml added, less those that `source.exclude` left out.
        """
        return Suite(self.part, [_raised(one, count) for one in self.expectations]) if count else self

    def judge(
        self, table: pd.DataFrame | StoredTable, subject_digest: str, say: Callable[[str], None] = lambda _: None
    ) -> Verdict:
        """Validate a table with a column `id` against the suite.

        Args:
            say: is told which expectations need whole columns of a stored table in memory.
        """
        numbered = dict(enumerate(self.expectations))
        judge = Judge(self.part)
        if isinstance(table, StoredTable):
            outcomes = stored_outcomes.outcomes(judge, numbered, table, say)
        else:
            outcomes = judge.judge(numbered, table)
        results = tuple(_result(item, outcomes[number], table) for number, item in numbered.items())
        return Verdict(self.part, subject_digest, self.digest, results)


def _raised(expectation: ExpectationSpec, count: int) -> ExpectationSpec:
    """The expectation with its numbers of rows raised or lowered, if it is one of them."""
    if expectation.type not in ROW_COUNTS:
        return expectation
    numbers = {
        name: max(0, value + count)
        for name, value in expectation.kwargs.items()
        if name in _NUMBERS and value is not None
    }
    change = f"{count:,} were added" if count > 0 else f"{-count:,} were left out"
    text = f"{expectation.description}, and {change}" if expectation.description else None
    return expectation.model_copy(update={"kwargs": {**expectation.kwargs, **numbers}, "description": text})


def _problems(location: str, expectation: ExpectationSpec, columns: tuple[str, ...]) -> list[Problem]:
    from great_expectations.compatibility import pydantic as gx_pydantic  # takes seconds, see `Judge`
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        implementation = get_expectation_impl(expectation.type)
    except ExpectationNotFoundError:
        return [Problem(f"{location}.type", "no such expectation in Great Expectations", got=repr(expectation.type))]
    problems = []
    arguments = implementation.__fields__
    problems += [
        Problem(f"{location}.kwargs.{key}", "unknown argument") for key in expectation.kwargs if key not in arguments
    ]
    try:
        implementation(**{key: value for key, value in expectation.kwargs.items() if key in arguments})
    except gx_pydantic.ValidationError as error:
        for detail in error.errors():
            path = ".".join(str(part) for part in ("kwargs", *detail["loc"]) if part != "__root__")
            problems.append(Problem(f"{location}.{path}", str(detail["msg"])))
    for key in COLUMN_KEYS:
        names = expectation.kwargs.get(key, [])
        for column in [names] if isinstance(names, str) else names:
            if column not in columns:
                message = f"no such column; there are {', '.join(columns)}"
                problems.append(Problem(f"{location}.kwargs.{key}", message, got=repr(column)))
    return problems


def _result(expectation: ExpectationSpec, found: Outcome, table: pd.DataFrame | StoredTable) -> ExpectationResult:
    """One result. A row without a value, which Great Expectations leaves out, has not met the expectation."""
    details = found.details
    rows: list[dict[str, Any]] = details.get("partial_unexpected_index_list") or []
    column = str(expectation.kwargs.get("column"))
    count = int(details.get("unexpected_count") or 0)
    success, observed = found.success, _observed(details)
    failing = [FailingSample(str(row["id"]), _plain(row.get(column))) for row in rows if "id" in row]
    missing, total = int(details.get("missing_count") or 0), int(details.get("element_count") or 0)
    if missing and "unexpected_count" in details and expectation.type not in _OF_NULLS:
        count += missing
        success = success and count <= total * (1 - float(expectation.kwargs.get("mostly") or 1))
        observed = f"{count:,} of {total:,} samples fail, {missing:,} of them without a value"
        failing += [FailingSample(identity, None) for identity in _without_value(table, expectation)]
    return ExpectationResult(
        type=expectation.type,
        kwargs=expectation.kwargs,
        description=expectation.description,
        success=success,
        observed=observed,
        failing=tuple(failing[:MAX_FAILING]),
        failing_count=count,
        error=found.error,
    )


def _without_value(table: pd.DataFrame | StoredTable, expectation: ExpectationSpec) -> list[str]:
    """The ids of the first rows that Great Expectations leaves out for want of a value, at most `MAX_FAILING`."""
    names = expectation.named_columns()
    is_any = expectation.kwargs.get("ignore_row_if") in ("either_value_is_missing", "any_value_is_missing")
    found: list[str] = []
    for batch in batches(table, [*dict.fromkeys(["id", *names])]):
        empty = batch[names].isna()
        left_out = empty.any(axis=1) if is_any else empty.all(axis=1)
        found += [str(identity) for identity in batch.loc[left_out, "id"][:MAX_FAILING]]
        if len(found) >= MAX_FAILING:
            break
    return found[:MAX_FAILING]


def _observed(details: dict[str, Any]) -> str:
    if (value := details.get("observed_value")) is not None:
        return json.dumps(_plain(value), ensure_ascii=False)
    if counts := details.get("details", {}).get("value_counts"):
        return ", ".join(f"{entry['value']} ({entry['count']:,})" for entry in counts)
    if total := details.get("element_count"):
        failing = details["unexpected_count"]
        return f"{failing:,} of {total:,} samples fail" if failing else f"all {total:,} samples"
    return "met"


def _plain(value: Any) -> Any:
    """Convert to a JSON value: numpy numbers become Python numbers, values that are not finite become text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
