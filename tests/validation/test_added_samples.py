"""What a suite says of the number of rows is about the samples that were not added."""

from __future__ import annotations

import pandas as pd
import pytest

pytestmark = pytest.mark.filterwarnings(
    # of Great Expectations and what it imports; nothing that we could do
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_table_row_count_to_equal", {"value": 3}),
        ("expect_table_row_count_to_be_between", {"min_value": 3, "max_value": 3}),
    ],
)
def test_numbers_of_rows_are_of_the_samples_of_the_source(kind: str, kwargs: dict[str, int]) -> None:
    from components.validation.outcome import ExpectationSpec
    from components.validation.suite import Suite

    suite = Suite("raw", [ExpectationSpec(type=kind, kwargs=kwargs, description="all have arrived")])
    table = pd.DataFrame({"id": list("abcde")})
    assert not suite.judge(table, "").success
    added = suite.with_added(2)
    assert added.judge(table, "").success
    assert not added.judge(table[:4], "").success
    assert added.expectations[0].description == "all have arrived, and 2 were added"
    fewer = suite.with_added(-1)  # as `modelyard forget` leaves one out
    assert fewer.judge(table[:2], "").success
    assert not fewer.judge(table[:3], "").success
    assert fewer.expectations[0].description == "all have arrived, and 1 were left out"
    assert suite.with_added(0) is suite
    assert added.digest != suite.digest
