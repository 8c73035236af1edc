"""Pictures asked for over HTTP: class, seed and steps in, a PNG out, as JSON or as the file itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from components.contracts.serving_spec import SlotSpec
from components.identity import manifest
from tests import drawing_package
from tests.serving.service import Service, running

SEVEN = {"label": "base", "seed": 7, "steps": 3}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("drawer")
    package = drawing_package.build(folder / "bundle" / "package")
    limits = {"max_batch_size": 4, "max_request_bytes": 10_000, "max_image_pixels": 1, "workers": 1}
    manifest.write_json(folder / "bundle" / "serving.json", {"model": "drawer", "version": "1", **limits})
    manifest.seal(folder / "bundle", "bundle", {"code": "c" * 64})
    with running(folder / "bundle", folder / "service") as service:
        service.order(champion=SlotSpec(version="1", package_digest=package.digest, bundle=str(folder / "bundle")))
        yield service


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_json_holds_the_picture_of_each(service: Service) -> None:
    answer = service.client.post("/predict", json={"samples": [SEVEN, {"label": "top"}]})
    first, second = answer.json()["predictions"]
    assert (first["label"], first["seed"], first["steps"], second["steps"]) == ("base", 7, 3, 4)
    pictures = [pixels(base64.b64decode(one["image"])) for one in (first, second)]
    assert [picture.shape for picture in pictures] == [(drawing_package.HEIGHT, drawing_package.WIDTH)] * 2
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize("accept", ["image/png", "image/*", "IMAGE/PNG;q=0.9, text/html", "image/webp, image/png"])
def test_the_file_itself_goes_to_whoever_accepts_it(service: Service, accept: str) -> None:
    asked = {"sample": SEVEN}
    (told,) = service.client.post("/predict", json=asked).json()["predictions"]
    answer = service.client.post("/predict", json=asked, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["X-Modelyard-Version"] == "1"
    assert answer.content == base64.b64decode(told["image"])


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, image/png", "text/html", ""])
def test_all_others_get_json(service: Service, accept: str) -> None:
    answer = service.client.post("/predict", json={"sample": SEVEN}, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["model"]["version"] == "1"


def test_several_are_no_file_and_what_is_refused_is_json(service: Service) -> None:
    png = {"accept": "image/png"}
    several = service.client.post("/predict", json={"samples": [SEVEN, SEVEN]}, headers=png)
    assert (several.status_code, several.json()["code"]) == (406, "accept")
    wrong = service.client.post("/predict", json={"sample": {"label": "left"}}, headers=png)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")


def test_the_contract_names_both(service: Service) -> None:
    said = service.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    assert set(said["200"]["content"]) == {"application/json", "image/png"}
    assert "406" in said
