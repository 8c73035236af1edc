"""Files that are made to take a machine's memory are errors with a line, as any other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from components.contracts import settings
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import SpecError


def aliases(opening: str, closing: str, item: str) -> str:
    """Ten lines, each nine times the one before: more than three milliards of values."""
    names = "abcdefghij"
    first = f"a: &a {opening}{', '.join(item.format('1', number) for number in range(9))}{closing}\n"
    return first + "".join(
        f"{own}: &{own} {opening}{', '.join(item.format('*' + before, number) for number in range(9))}{closing}\n"
        for before, own in itertools.pairwise(names)
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (aliases("[", "]", "{0}"), "more than 100,000 values"),
        (aliases("{", "}", "k{1}: {0}"), "more than 100,000 values"),
        (aliases("{", "}", "k: {0}"), "more than 100,000 values"),  # the same key: no new location
        ("task: " + "[" * 20_000, "nested deeper than 60 levels"),
        ("- " * 20_000, "nested deeper than 60 levels"),
        ("task: &own [*own]", "nested deeper than 60 levels"),
        ("? [[dataset]]\n: digits", "a key must be text"),
    ],
)
def test_a_few_lines_that_stand_for_milliards_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=problem):
        located_yaml.read(file, PipelineSpec)
    with pytest.raises(ValueError, match=problem):
        located_yaml.parse_value(text)


def test_a_long_list_without_aliases_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(located_yaml, "MOST_VALUES", 1_000)
    numbers = list(range(1_100))
    assert located_yaml.parse_value("\n".join(f"- {number}" for number in numbers)) == numbers


def test_settings_that_are_nested_too_deep_are_an_error(tmp_path: Path) -> None:
    (tmp_path / settings.FILE_NAME).write_text("a = " + "[" * 20_000)
    with pytest.raises(SpecError, match="nested too deep"):
        settings.read(tmp_path)
