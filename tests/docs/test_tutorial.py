"""The commands of the tutorial, run in their order on photos as it describes them; what they write is deployable."""

from __future__ import annotations

import json
import re

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from tests.deployment.test_targets import compose_schema
from tests.docs.snippets import commands
from tests.house import House

PHOTOS = 30  # of each class


def draw_photos(house: House) -> None:
    """Discs and squares of random place, size and colour, as the tutorial's folders have them."""
    rng = np.random.default_rng(0)
    for kind in ("disc", "square"):
        folder = house.root / "photos" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, PHOTOS + 1):
            size, left, top = int(rng.integers(12, 20)), int(rng.integers(0, 12)), int(rng.integers(0, 12))
            box = (left, top, left + size, top + size)
            picture = Image.fromarray(rng.integers(0, 60, (32, 32, 3), dtype=np.uint8))
            draw = ImageDraw.Draw(picture)
            paint = draw.ellipse if kind == "disc" else draw.rectangle
            paint(box, fill=tuple(int(value) for value in rng.integers(120, 256, 3)))
            picture.save(folder / f"{number:02}.png")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_does_what_it_says(house: House) -> None:
    draw_photos(house)
    lines = [line.words[1:] for line in commands("docs/tutorial.md") if line.words[0] == "modelyard"]
    assert len(lines) >= 12
    for words in lines:
        house.run(*words, timeout=600)
        if words[0] == "new":  # the reader's training may take longer than a test's
            drafted = house.project.pipeline_file("shapes")
            drafted.write_text(re.sub(r"epochs: \d+", "epochs: 8", drafted.read_text()))
    compose = yaml.safe_load((house.root / "deploy/shapes/compose.yaml").read_text())
    jsonschema.validate(compose, compose_schema())
    folder = house.root / "deploy/shapes-kubernetes"
    deployment = yaml.safe_load((folder / "deployment.yaml").read_text())
    kubernetes_validate.validate(deployment, "1.35", strict=True)
    written = json.loads((folder / "modelyard-deploy.json").read_text())
    assert deployment["metadata"]["annotations"]["modelyard.bundle_digest"] == written["bundle_digest"]
    assert (folder / "deployment.yaml").read_text().startswith("# Measured on ")
    again = house.json("deploy", "shapes", "--target", "compose", "--out", "deploy/shapes")
    assert (again["written"], again["removed"]) == ([], [])
    assert again["measurement"]["errors"] == 0
    house.run("serve", "shapes", "--stop")
