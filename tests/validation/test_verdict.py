"""What a verdict says of one expectation."""

from __future__ import annotations

from typing import Any

import pytest

from components.validation.verdict import ExpectationResult, FailingSample


def result(observed: str, *failing: str, success: bool = False, **kwargs: Any) -> ExpectationResult:
    samples = tuple(FailingSample(one, None) for one in failing)
    return ExpectationResult("expect_x", kwargs, "all have arrived", success, observed, samples, len(failing), None)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result("24", value=25), "all have arrived (24, expected 25)"),
        (result("0.3", min_value=0.4, max_value=0.6), "all have arrived (0.3, expected 0.4 to 0.6)"),
        (result("3", min_value=4), "all have arrived (3, expected at least 4)"),
        (result("5", max_value=4), "all have arrived (5, expected at most 4)"),
        (result("25", success=True, value=25), "all have arrived (25)"),
        (result("1 fails", "a.png", min_value=4), "all have arrived (1 fails: a.png)"),
    ],
)
def test_what_was_expected_of_a_whole_table_is_said(found: ExpectationResult, said: str) -> None:
    assert found.sentence() == said
