"""The result of a validation, in plain values; this module does not import Great Expectations."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

MAX_FAILING = 20


class FailingSample(NamedTuple):
    """A sample that does not meet an expectation, and its value."""

    id: str
    value: Any


class ExpectationResult(NamedTuple):
    """One expectation's result.

    Args:
        observed: the observed value, or the number of failing samples, as text.
        failing: the first `MAX_FAILING` failing samples; empty for an expectation on the whole table.
        failing_count: number of all failing samples.
        error: why the expectation could not be evaluated; None if it was.
    """

    type: str
    kwargs: dict[str, Any]
    description: str
    success: bool
    observed: str
    failing: tuple[FailingSample, ...]
    failing_count: int
    error: str | None

    def sentence(self) -> str:
        """The result in one line."""
        column = self.kwargs.get("column")
        name = self.description or (f"{column}: {self.type}" if column else self.type)
        first = ", ".join(failing.id for failing in self.failing[:3]) if not self.success else ""
        more = ", …" if first and self.failing_count > 3 else ""
        limits = self._limits() if not (self.success or self.error or first) else ""
        return f"{name} ({self.error or self.observed}{f': {first}{more}' if first else ''}{limits})"

    def _limits(self) -> str:
        """What an observed value of the whole table was expected to be."""
        exact, least, most = (self.kwargs.get(key) for key in ("value", "min_value", "max_value"))
        if exact is not None:
            return f", expected {exact}"
        if least is not None and most is not None:
            return f", expected {least} to {most}"
        if least is not None:
            return f", expected at least {least}"
        return f", expected at most {most}" if most is not None else ""


class Verdict(NamedTuple):
    """All results for one part of a dataset.

    Args:
        subject_digest: digest of the manifest of the validated data.
        suite_digest: digest of the expectations.
    """

    part: Literal["raw", "prepared"]
    subject_digest: str
    suite_digest: str
    results: tuple[ExpectationResult, ...]

    @property
    def success(self) -> bool:
        """Whether every expectation is met."""
        return all(result.success for result in self.results)

    @property
    def statistics(self) -> dict[str, int]:
        """Number of evaluated and of met expectations."""
        met = sum(result.success for result in self.results)
        return {"evaluated": len(self.results), "met": met}

    def failing_ids(self, limit: int) -> list[str]:
        """Ids of the failing samples of all expectations, without duplicates, at most `limit`."""
        ids = dict.fromkeys(str(failing.id) for result in self.results for failing in result.failing)
        return list(ids)[:limit]

    def to_json(self) -> str:
        """The verdict as JSON text, the same for the same data and suite."""
        document = {
            "part": self.part,
            "subject_digest": self.subject_digest,
            "suite_digest": self.suite_digest,
            "success": self.success,
            "statistics": self.statistics,
            "results": [
                {**result._asdict(), "failing": [failing._asdict() for failing in result.failing]}
                for result in self.results
            ],
        }
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
