"""A sample that fails, of every kind: the stages catch it, count it and show it, and what was good stands."""

from __future__ import annotations

import io
import json
import math
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.errors import ValidationRefused
from components.identity import manifest
from components.ingestion import stage as ingestion
from tests.drafting.test_recognise import put, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # of Great Expectations and what it imports, with pandas 3; nothing that we could do
        "ignore::DeprecationWarning",
        "ignore::FutureWarning",
    ),
]

GOOD = 12


def true(column: str) -> dict[str, Any]:
    kwargs = {"column": column, "value_set": [True]}
    return {"type": "expect_column_values_to_be_in_set", "kwargs": kwargs, "description": f"every sample is {column}"}


def is_(column: str, value: object) -> dict[str, Any]:
    one = true(column)
    return {**one, "kwargs": {"column": column, "value_set": [value]}, "description": f"{column} is {value}"}


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def wav(tone: int, channels: int = 1, level: int = 9000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        points = (int(level * math.sin(step * tone / 50)) for step in range(800))
        file.writeframes(b"".join(point.to_bytes(2, "little", signed=True) * channels for point in points))
    return out.getvalue()


XML = (
    "<annotation><object><name>cell</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>{xmax}</xmax><ymax>9</ymax>"
    "</bndbox></object></annotation>"
)


def images(root: Path) -> None:
    put(root, {f"{'ab'[i % 2]}/{i}.jpg": jpeg(i) for i in range(GOOD)})


def sounds(root: Path) -> None:
    put(root, {f"{'ab'[i % 2]}/{i}.wav": wav(i + 1) for i in range(GOOD)})


def texts(root: Path) -> None:
    put(root, {"t.csv": table(GOOD, lambda i: f"{'ab'[i % 2]},word {i}", "label,text")})


def series(root: Path) -> None:
    put(root, {"t.csv": table(GOOD, lambda i: f"{'ab'[i % 2]},{i},{i / 2},{-i}", "label,v0,v1,v2")})


def boxes(root: Path) -> None:
    for i in range(GOOD):
        put(root, {f"JPEGImages/{i:02}.jpg": jpeg(i), f"Annotations/{i:02}.xml": XML.format(xmax=20)})


def add(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: put(root, {name: content})


def append(name: str, line: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes() + line)


IMAGES = "task: image-classification\nsource: {kind: folder, path: files}\ninput: {height: 8, width: 8, channels: 3}\n"
SOUNDS = (
    "task: sound-classification\nsource: {kind: folder, path: files, layout: {kind: wav, root: .,"
    " pattern: '{label}/{name}.wav'}}\ninput: {}\n"
)
TEXTS = "task: text-classification\nsource: {kind: csv, path: files/t.csv, text: text}\ninput: {}\n"
SERIES = "task: series-classification\nsource: {kind: csv, path: files/t.csv, values: v}\ninput: {}\n"
BOXES = (
    "task: object-detection\nsource: {kind: folder, path: files, layout: {kind: voc, root: .}}\n"
    "input: {height: 16, width: 16, channels: 3}\n"
)
CASES = {
    "truncated JPEG": (IMAGES, images, add("a/bad.jpg", jpeg(99)[:400]), true("readable"), "a/bad.jpg", False),
    "NaN in a series": (SERIES, series, append("t.csv", b"a,1,nan,2\n"), true("finite"), f"t/{GOOD:06}", False),
    "missing in a series": (SERIES, series, append("t.csv", b"a,1,,2\n"), true("finite"), f"t/{GOOD:06}", False),
    "invalid UTF-8": (TEXTS, texts, append("t.csv", b"a,gr\xfcn\n"), true("valid"), f"t/{GOOD:06}", False),
    "silent WAV": (SOUNDS, sounds, add("a/bad.wav", wav(5, level=0)), is_("silent", False), "a/bad.wav", True),
    "stereo WAV": (SOUNDS, sounds, add("a/bad.wav", wav(5, channels=2)), is_("channels", 1), "a/bad.wav", 2),
    "truncated WAV": (SOUNDS, sounds, add("a/bad.wav", wav(5)[:90]), true("readable"), "a/bad.wav", False),
    "box of no area": (
        BOXES, boxes,
        lambda root: put(root, {"JPEGImages/bad.jpg": jpeg(99), "Annotations/bad.xml": XML.format(xmax=2)}),
        is_("degenerate", 0), "bad", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_caught_counted_and_shown(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.validation import stage as validation

    spec, good, spoil, expected, identity, value = CASES[case]
    monkeypatch.chdir(tmp_path)
    folder = Path("data/things")
    good(folder / "files")
    (folder / "dataset.yaml").write_text(f"name: things\nsplit: {{test: 0.25, validation: 0.25}}\n{spec}")
    suite = {"raw": [expected], "prepared": [true("label_in_every_split")]}
    (folder / "expectations.json").write_text(json.dumps(suite))
    ingestion.main([str(folder)])
    validation.main(["raw", str(folder)])
    before = manifest.verify(folder / "validated", "validated").digest

    spoil(folder / "files")
    ingestion.main([str(folder)])
    with pytest.raises(ValidationRefused) as refused:
        validation.main(["raw", str(folder)])
    assert "1 of 13" in str(refused.value.got)
    assert manifest.verify(folder / "validated", "validated").digest == before
    verdict = json.loads(Path(".modelyard/reports/things/raw.json").read_text())
    (result,) = verdict["results"]
    assert (result["failing_count"], result["failing"]) == (1, [{"id": identity, "value": value}])
    page = Path(".modelyard/reports/things/raw.html").read_text()
    assert identity in page
    assert expected["description"] in page
