"""How far apart two answers are: by their numbers, or infinitely."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest

from components.inference.difference import difference
from components.ingestion import png


def picture(level: int = 100, changed: int = 0, size: int = 10, channels: int = 1) -> str:
    """A base64 PNG as our tasks write it; the first `changed` levels are one brighter."""
    pixels = np.full((size, size, channels), level, np.uint8)
    pixels.ravel()[:changed] += 1
    return base64.b64encode(png.encode(pixels[..., 0] if channels == 1 else pixels)).decode()


SPAN = {"start": 3, "end": 7, "label": "person", "score": 0.75}


@pytest.mark.parametrize(
    ("expected", "answered", "distance"),
    [
        ({"values": [[0.1, 0.2], [0.3, 0.4]]}, {"values": [[0.1, 0.45], [0.3, 0.4]]}, 0.25),
        ({"values": [-2000.0]}, {"values": [-1999.0]}, 0.0005),
        ({"values": [1.0]}, {"values": [1.0, 1.0]}, math.inf),
        ({"values": [1.0]}, {"value": [1.0]}, math.inf),
        ({"values": [1.0]}, {"values": [math.nan]}, math.inf),
        ({"values": [1.0]}, {"values": ["1.0"]}, math.inf),
        ({"values": [1.0]}, {"values": [1]}, 0.0),
        ({"values": [0.0]}, {"values": [False]}, math.inf),
        ({"text": "a dog"}, {"text": "a dog"}, 0.0),
        ({"text": "a dog"}, {"text": "a cat"}, math.inf),
        ({"spans": [SPAN]}, {"spans": [{**SPAN, "score": 0.5}]}, 0.25),
        ({"spans": [SPAN]}, {"spans": [{**SPAN, "end": 8}]}, math.inf),
        ({"spans": [SPAN]}, {"spans": []}, math.inf),
        ({"spans": []}, {"spans": []}, 0.0),
        ({"label": "a"}, {"label": "b"}, math.inf),
        ({"image": picture()}, {"image": picture()}, 0.0),
        ({"image": picture(100)}, {"image": picture(151)}, 0.2 * 100 / 110),
        ({"image": picture(0, channels=3)}, {"image": picture(255, channels=3)}, 300 / 310),
        ({"image": picture(channels=3)}, {"image": picture()}, math.inf),
        ({"image": picture()}, {"image": picture()[:40]}, math.inf),
        ({"image": picture()}, {"image": picture(size=11)}, math.inf),
        ({"image": picture()}, {"image": "no picture"}, math.inf),
    ],
)
def test_distances(expected: Any, answered: Any, distance: float) -> None:
    assert difference(expected, answered) == pytest.approx(distance)
    assert difference(answered, expected) == pytest.approx(distance)


def test_a_label_follows_its_probabilities() -> None:
    one = {"label": "a", "probabilities": {"a": 0.500001, "b": 0.499999}}
    other = {"label": "b", "probabilities": {"a": 0.499999, "b": 0.500001}}
    assert difference(one, other) == pytest.approx(2e-6)
    assert difference(one, {"label": "b", "probabilities": {"b": 0.4, "c": 0.6}}) == math.inf


def test_a_level_that_was_rounded_otherwise_is_next_to_nothing() -> None:
    assert difference({"image": picture()}, {"image": picture(changed=1)}) == pytest.approx(1 / 255 / 110)
