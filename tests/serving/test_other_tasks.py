"""A task from outside, served: texts and parameters in, its own answers out, proven and described like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from components.contracts.serving_spec import SlotSpec
from components.identity import manifest
from components.tasks.task import EndpointSchema
from serving import page
from tests import echo_task
from tests.serving.service import Service, challenger, eventually, running


def bundle(folder: Path, version: str) -> SlotSpec:
    package = echo_task.build(folder / "package")
    settings = {
        "model": "echo",
        "version": version,
        "max_batch_size": 4,
        "max_request_bytes": 10_000,
        "max_image_pixels": 1,
        "workers": 1,
    }
    manifest.write_json(folder / "serving.json", settings)
    manifest.seal(folder, "bundle", {"code": "c" * 64})
    return SlotSpec(version=version, package_digest=package.digest, bundle=str(folder))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("echo")
    slot = bundle(folder / "bundle", "1")
    with running(Path(slot.bundle), folder / "service") as service:
        service.order(champion=slot)  # loads it once more, proving the golden answers
        yield service


def predictions(service: Service, **request: Any) -> list[dict[str, Any]]:
    response = service.client.post("/predict", **request)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def test_all_ways_in_give_the_same_answer(service: Service) -> None:
    text = "zwölf Ωmega 🎈"
    mean = sum(map(ord, text)) / len(text)
    plain = {"content-type": "text/plain; charset=utf-8"}
    ways: list[dict[str, Any]] = [
        {"content": text.encode(), "headers": plain},
        {"json": {"text": text}},
        {"json": {"texts": [text]}},
        {"json": {"text": text, "parameters": {}}},
        {"files": {"text": ("a.txt", text.encode(), "text/plain")}},
    ]
    for way in ways:
        (answer,) = predictions(service, **way)
        assert answer == {"text": text, "mean": pytest.approx(mean, rel=1e-6)}


def test_unequal_lengths_are_answered_as_if_alone(service: Service) -> None:
    texts = ["a", "a longer text", "bb"]
    alone = [predictions(service, json={"text": text})[0] for text in texts]
    assert predictions(service, json={"texts": texts}) == alone


def test_parameters_reach_the_task(service: Service) -> None:
    assert predictions(service, json={"text": "ha", "parameters": {"times": 3}})[0]["text"] == "hahaha"
    form = {"data": {"parameters": '{"times": 2}'}, "files": {"text": ("a.txt", b"ha", "text/plain")}}
    assert predictions(service, **form)[0]["text"] == "haha"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"json": {"text": "a", "parameters": {"times": 10}}}, "parameters"),
        ({"json": {"text": "a", "parameters": {"time": 1}}}, "parameters"),
        ({"json": {"text": "a", "parameters": 7}}, "parameters"),
        ({"json": {"text": 7}}, "type"),
        ({"json": {"texts": "a"}}, "type"),
        ({"json": {"texts": []}}, "empty"),
        ({"json": {"image": "a"}}, "keys"),
        ({"json": {"text": ""}}, "text"),
        ({"content": b"\xff", "headers": {"content-type": "text/plain"}}, "text"),
        ({"data": {"parameters": "{"}, "files": {"text": ("a.txt", b"a", "text/plain")}}, "parameters"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(service: Service, request_: dict[str, Any], code: str) -> None:
    response = service.client.post("/predict", **request_)
    assert (response.status_code, response.json()["code"]) == (422, code)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"a\udfff"', "9" * 400, "[" + "1" * 30 + "]"])
def test_what_utf_8_and_64_bits_do_not_hold_is_refused_or_answered(service: Service, text: str) -> None:
    for body in (f'{{"text": {text}}}', f"{{{text if text[0] == chr(34) else chr(34) + 'a' + chr(34)}: {text}}}"):
        response = service.client.post("/predict", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 422), response.text
        assert response.json()


def test_an_image_is_none_of_its_content_types(service: Service) -> None:
    response = service.client.post("/predict", content=b"a", headers={"content-type": "image/png"})
    assert response.status_code == 415
    assert response.json()["expected"] == "application/json, multipart/form-data, text/plain"


def test_it_says_what_it_takes(service: Service) -> None:
    about = service.client.get("/model").json()
    assert about["task"] == echo_task.NAME
    assert about["takes"] == {"item": "text", "items": "texts", "media": ["text/plain"], "form": "text"}
    document = service.client.get("/openapi.json").json()
    ways = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert [way["required"] for way in ways] == [["text"], ["texts"]]
    assert ways[1]["properties"]["texts"]["maxItems"] == 4
    assert document["components"]["schemas"]["Parameters"]["properties"]["times"]["maximum"] == 9


def test_its_page_asks_for_a_text_and_parameters_and_escapes(service: Service) -> None:
    shown = service.client.get("/").text
    assert "<textarea" in shown
    assert "Echo &lt;texts&gt;" in shown
    told = shown.split('id="wire">')[1].split("</script>")[0]
    assert json.loads(told)["parameters"]["times"]["default"] == 1
    assert "http://" not in shown
    assert "https://" not in shown


def test_answers_without_a_label_are_counted_too(service: Service) -> None:
    labels = {"model": "echo", "version": "1", "role": "champion", "label": ""}
    before = REGISTRY.get_sample_value("modelyard_predictions_total", labels) or 0
    predictions(service, json={"texts": ["a", "b"]})
    assert REGISTRY.get_sample_value("modelyard_predictions_total", labels) == before + 2


def test_a_shadow_is_compared_as_the_task_compares(service: Service, tmp_path: Path) -> None:
    slot, other = bundle(tmp_path / "one", "1"), bundle(tmp_path / "two", "2")
    service.order(champion=slot, challenger=challenger(other, 0))
    predictions(service, json={"texts": ["a", "b"]})
    eventually(lambda: service.statement().challenger_stats.compared == 2)
    assert service.statement().challenger_stats.agreed == 2


def test_the_page_has_an_example_of_numbers() -> None:
    rows = {"type": "array", "minItems": 2, "items": {"type": "array", "minItems": 3, "items": {"type": "number"}}}
    schema = {"anyOf": [rows, {"type": "string"}]}
    assert page.example_of(schema) == [[0.0] * 3] * 2
    kinds = {"class": {"enum": ["</script>", "b"]}, "seed": {"type": "integer", "minimum": 1}, "steps": {"default": 20}}
    asked = {"type": "object", "properties": kinds, "required": ["class", "seed", "steps"]}
    assert page.example_of(asked) == {"class": "</script>", "seed": 1, "steps": 20}
    wire = EndpointSchema("draw", "draws", (), asked, {}, "json", "Draw")
    shown = page.render({"name": "a", "version": "1", "package": "c"}, wire)
    assert "&lt;/script&gt;" in shown
    assert shown.count("</script>") == 2
