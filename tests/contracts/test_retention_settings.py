"""`[retention]` in modelyard.toml: read, or refused with key, line, what was found and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import settings
from components.contracts.settings import RetentionSettings
from components.core.errors import SpecError


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert settings.read(tmp_path).retention == RetentionSettings()


def test_the_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text(
        '[retention]\ncron = "0 4 * * 0"\ntimezone = "Europe/Berlin"\nrollback_targets = 5\nlogs_days = 7\n'
        'data_cache = "branches"\n'
    )
    found = settings.read(tmp_path).retention
    assert (found.cron, found.timezone, found.rollback_targets) == ("0 4 * * 0", "Europe/Berlin", 5)
    assert (found.logs_days, found.data_cache, found.min_age_minutes) == (7, "branches", 60)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[retention]\nrollback_targets = 0\n", 2, "retention.rollback_targets"),
        ('[retention]\nlogs_days = 1\ndata_cache = "nothing"\n', 3, "'commits', 'branches' or 'workspace'"),
        ("[retention]\n\nkeep = 3\n", 3, "unknown key; allowed: cron, timezone, rollback_targets"),
        ('[retention]\ncron = "every sunday"\n', 1, "expected a cron line and a time zone"),
        ('[retention]\ncron = "0 4 * * 0"\ntimezone = "Mars"\n', 1, "expected a cron line and a time zone"),
        ("[retention\n", 1, "not TOML"),
    ],
)
def test_a_wrong_section_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    (tmp_path / "modelyard.toml").write_text(text)
    with pytest.raises(SpecError) as caught:
        settings.read(tmp_path)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert words in str(problem)
