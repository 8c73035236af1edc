"""Requests of the prediction client to a service, and the text of its answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.access import api_keys, project_door, secret
from components.core.errors import NotFoundError, SampleError, ServingError
from components.core.project import Project
from flows.cli import prediction_client
from flows.cli.prediction_client import InputSchema
from serving import door
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package
from tests.serving.service import listening, over_http
from tests.serving.test_other_tasks import bundle

IMAGE = InputSchema("image", "images", ["application/octet-stream", "image/*"], "image")
TEXT = InputSchema("text", "texts", ["text/plain"], "text")
NUMBERS = InputSchema("values", "series", ["text/csv", "application/octet-stream"], "json")
DRAW = InputSchema("draw", "draws", [], "json")


@pytest.fixture(scope="module", params=["image", "text"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of images, and one of texts."""
    folder = tmp_path_factory.mktemp(request.param)
    (small_package.bundle if request.param == "image" else bundle)(folder, "7")
    with over_http(folder) as url:
        yield url


def test_a_request_matches_the_input_schema_of_the_service(url: str, tmp_path: Path) -> None:
    schema = prediction_client.input_schema(url)
    (tmp_path / "a.png").write_bytes(small_package.image(0))
    (tmp_path / "a.txt").write_text("hello")
    if schema.form == "image":
        answer = prediction_client.predict(url, prediction_client.request_for(schema, str(tmp_path / "a.png"), {}))
        assert answer["predictions"][0]["label"] in small_package.CLASSES
        with pytest.raises(SampleError, match="not an image"):
            prediction_client.predict(url, prediction_client.request_for(schema, str(tmp_path / "a.txt"), {}))
    else:
        for text in (str(tmp_path / "a.txt"), "hello"):
            assert (
                prediction_client.predict(url, prediction_client.request_for(schema, text, {}))["predictions"][0][
                    "text"
                ]
                == "hello"
            )
            repeated = prediction_client.predict(url, prediction_client.request_for(schema, text, {"times": 2}))
            assert repeated["predictions"][0]["text"] == "hellohello"


def test_a_service_with_api_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_package.bundle(tmp_path / "bundle", "7")
    app = ModelApp()
    app.serve(Worker(tmp_path / "bundle", None, threads=1))
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    secret_file = project_door.secret_file(Project.find())
    secret.create(secret_file)
    key = api_keys.add(tmp_path / "keys.jsonl", "app", "predict")
    monkeypatch.setenv(secret.SECRET_FILE, str(secret_file))
    monkeypatch.setenv(api_keys.API_KEYS, str(tmp_path / "keys.jsonl"))
    request = prediction_client.EncodedRequest(small_package.image(0), "image/png", "a")
    with listening(door.before(app.asgi, "sample")) as url:
        assert prediction_client.predict(url, request)["predictions"]  # as the project's owner
        monkeypatch.chdir("/")
        for ask in (lambda: prediction_client.predict(url, request), lambda: prediction_client.input_schema(url)):
            with pytest.raises(ServingError, match="wants an API key"):
                ask()
        monkeypatch.setenv(prediction_client.API_KEY, key)
        assert prediction_client.predict(url, request)["predictions"]
        assert prediction_client.input_schema(url).item == "image"
        monkeypatch.setenv(prediction_client.API_KEY, key[:-1])
        with pytest.raises(ServingError, match="refuses this API key"):
            prediction_client.predict(url, request)


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(ServingError, match="does not describe its input"):
        prediction_client.input_schema("http://127.0.0.1:9")
    with pytest.raises(ServingError, match="does not answer"):
        prediction_client.predict("http://127.0.0.1:9", prediction_client.EncodedRequest(b"", "text/plain", "a"))


def test_files_go_as_what_they_are(tmp_path: Path) -> None:
    for name in ("a.png", "a.bin", "a.csv", "a.json", "rows.json"):
        (tmp_path / name).write_bytes(b'{"values": [1]}' if name == "rows.json" else b"[[1, 2]]")
    assert prediction_client.request_for(IMAGE, str(tmp_path / "a.png"), {}).media == "image/png"
    assert prediction_client.request_for(IMAGE, str(tmp_path / "a.bin"), {}).media == "application/octet-stream"
    encoded = json.loads(prediction_client.request_for(IMAGE, str(tmp_path / "a.png"), {"x": 1}).content)
    assert encoded == {"image": base64.b64encode(b"[[1, 2]]").decode(), "parameters": {"x": 1}}
    assert prediction_client.request_for(NUMBERS, str(tmp_path / "a.csv"), {}).media == "text/csv"
    assert json.loads(prediction_client.request_for(NUMBERS, str(tmp_path / "a.json"), {}).content) == {
        "values": [[1, 2]]
    }
    assert json.loads(prediction_client.request_for(NUMBERS, str(tmp_path / "rows.json"), {}).content) == {
        "values": [1]
    }


def test_what_is_no_file_is_text_or_json_where_the_task_takes_that() -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        prediction_client.request_for(IMAGE, "none.png", {})
    with pytest.raises(NotFoundError, match="no such file"):
        prediction_client.request_for(NUMBERS, "none.csv", {})
    film = prediction_client.EncodedRequest(b"what a film", "text/plain", "what a film")
    assert prediction_client.request_for(TEXT, "what a film", {}) == film
    assert json.loads(prediction_client.request_for(NUMBERS, "[1, 2]", {}).content) == {"values": [1, 2]}
    assert prediction_client.request_for(NUMBERS, "1,2\n3,4", {}).content == b'{"values": "1,2\\n3,4"}'
    drawn = prediction_client.request_for(DRAW, "seven", {"steps": 20})
    assert json.loads(drawn.content) == {"draw": "seven", "parameters": {"steps": 20}}


@pytest.mark.parametrize("length", [60, 255, 256, 1_000, 4_095, 4_096, 100_000])
@pytest.mark.parametrize("schema", [TEXT, NUMBERS, DRAW])
def test_input_of_any_length_is_taken(schema: InputSchema, length: int) -> None:
    text = json.dumps([1] * length)[:length].rpartition(",")[0] + "]" if schema is NUMBERS else "film " * (length // 5)
    request = prediction_client.request_for(schema, text, {})
    assert request.content == text.encode() if schema is TEXT else json.loads(request.content)[schema.item]


@pytest.mark.parametrize("text", ["texts/a.txt", "a.txt", "/none", "./none", "texts/none", "A.CSV", "a\0.png"])
@pytest.mark.parametrize("schema", [TEXT, NUMBERS, IMAGE])
def test_a_mistyped_path_is_named(schema: InputSchema, text: str) -> None:
    with pytest.raises(NotFoundError, match="no such file") as caught:
        prediction_client.request_for(schema, text, {})
    assert text in str(caught.value)


def test_a_mistyped_name_in_a_folder_with_spaces_is_named(tmp_path: Path) -> None:
    (tmp_path / "my texts").mkdir()
    with pytest.raises(NotFoundError, match="no such file"):
        prediction_client.request_for(TEXT, str(tmp_path / "my texts" / "b.txt"), {})


@pytest.mark.parametrize(
    "text",
    ["and/or in a sentence", "/ is a slash", "see a.txt", "what is in texts/none.txt", "https://example.org/a.txt"],
)
def test_a_sentence_with_slashes_and_suffixes_is_text(text: str) -> None:
    assert prediction_client.request_for(TEXT, text, {}) == prediction_client.EncodedRequest(
        text.encode(), "text/plain", text
    )


def test_a_label_with_a_slash_is_a_label() -> None:
    assert json.loads(prediction_client.request_for(DRAW, "T-shirt/top", {}).content) == {"draw": "T-shirt/top"}
    assert json.loads(prediction_client.request_for(NUMBERS, '{"values":["1/2"]}', {}).content) == {"values": ["1/2"]}


@pytest.mark.parametrize(
    ("prediction", "line"),
    [
        ({"label": "cat", "probabilities": {"cat": 0.75, "dog": 0.25}}, "cat  (0.750, version 3)"),
        (
            {"label": "cat", "probabilities": {"cat": 0.4, "dog": 0.35}, "rejected": True, "set": ["cat", "dog"]},
            "cat  (0.400, version 3)  REJECTED: no class is likely enough  set: cat, dog",
        ),
        (
            {"value": 2.0, "interval": {"coverage": 0.9, "lower": 1.5, "upper": 2.5}},
            "2  (version 3)  0.9 interval: 1.5 to 2.5",
        ),
        ({"text": "ein Hund"}, "ein Hund  (version 3)"),
        (
            {"spans": [{"text": "Paris", "label": "location", "start": 0, "end": 5}]},
            "Paris [location]  (version 3)",
        ),
        ({"spans": []}, "nothing found  (version 3)"),
        ({"boxes": [{"label": "RBC"}, {"label": "WBC"}, {"label": "RBC"}]}, "2 RBC, 1 WBC  (version 3)"),
        ({"values": [[1.0, 2.5], [3.0, 4.0]]}, "2 rows, the first: 1, 2.5  (version 3)"),
        ({"other": 1}, '{"other": 1}  (version 3)'),
    ],
)
def test_answers_in_words(prediction: dict[str, Any], line: str) -> None:
    assert prediction_client.describe(prediction, "version 3") == line
