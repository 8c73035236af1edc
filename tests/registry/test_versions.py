"""Versions as the registry's tags describe them."""

from __future__ import annotations

import pytest

from components.core.errors import ServingError
from components.registry.versions import PACKAGE_KEY, Version


def _version(tags: dict[str, str]) -> Version:
    return Version("digits", "3", "", "", tags, (), 0)


def test_the_package_key_is_the_tag() -> None:
    assert _version({PACKAGE_KEY: "a" * 64}).package_key == "a" * 64


@pytest.mark.parametrize("tags", [{}, {PACKAGE_KEY: "../../data/bccd"}, {PACKAGE_KEY: ""}, {PACKAGE_KEY: "a" * 16}])
def test_a_tag_that_is_missing_or_no_digest_is_no_package_of_ours(tags: dict[str, str]) -> None:
    with pytest.raises(ServingError, match="was not registered by Modelyard") as caught:
        _ = _version(tags).package_key
    assert caught.value.where == f"digits version 3, tag {PACKAGE_KEY}"
