"""Numbers of a JSON body arrive as they were sent."""

from __future__ import annotations

import json
import math

import pytest

from components.inference import body


@pytest.mark.parametrize("text", ["123456789012345678901234567890", "-98765432109876543210", "18446744073709551616"])
def test_long_integers_stay_integers(text: str) -> None:
    assert body._parsed(b'{"a": [%b]}' % text.encode()) == {"a": [int(text)]}


def test_a_body_is_read_as_pythons_parser_reads_it() -> None:
    document = {"a": [0.1, 1e-7, 3, -2.5e300, "zwölf \u2028", None, True], "b": {"c": [[1, 2], []]}}
    content = json.dumps(document).encode()
    assert body._parsed(content) == document
    assert math.isnan(body._parsed(b"[NaN]")[0])
