"""Paths of a project: text from outside becomes a path only if it is a digest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.core.errors import ServingError
from components.core.project import Project
from components.identity import digest
from components.identity.package import GoldenExample

PROJECT = Project(Path("/project"))
BY_KEY: list[Callable[[str], Path]] = [
    PROJECT.package,
    PROJECT.run_folder,
    lambda key: PROJECT.gates("digits", key),
]


@pytest.mark.parametrize("folder_of", BY_KEY)
@pytest.mark.parametrize("key", ["../../data/bccd", "", "..", "/etc", "a" * 63, "A" * 64, f"{'a' * 64}\n"])
def test_only_a_digest_becomes_a_folder(folder_of: Callable[[str], Path], key: str) -> None:
    with pytest.raises(ServingError, match="was not made by Modelyard"):
        folder_of(key)


def test_a_digest_becomes_the_folder_of_its_first_digits() -> None:
    key = digest.of_value("a key")
    assert {folder_of(key).name for folder_of in BY_KEY} == {key[:16]}


def test_a_golden_example_is_a_file_of_its_own_folder() -> None:
    with pytest.raises(ValidationError, match="file"):
        GoldenExample(file="../../secret", media="image/png", truth="dark", answer={})
