"""The OpenAPI document has the limits and examples that hold; the Swagger page loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from tests import small_package
from tests.serving import packages
from tests.serving.service import running


@pytest.fixture(scope="module", params=["image", "table", "series", "language"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("bundle")
    if request.param == "image":
        small_package.bundle(folder, "7")
    else:
        {"table": packages.table, "series": packages.series, "language": packages.language_model}[request.param](folder)
    with running(folder, None) as service:
        yield service.client


def test_its_examples_are_requests_and_their_answers(client: TestClient) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    requests = predict["requestBody"]["content"]["application/json"]
    answers = predict["responses"]["200"]["content"]["application/json"]["examples"]
    schema = {**requests["schema"], "components": document["components"]}
    assert requests["examples"].keys() == answers.keys() != set()
    for name, example in requests["examples"].items():
        jsonschema.validate(example["value"], schema)
        response = client.post("/predict", json=example["value"])
        assert response.status_code == 200
        (answered,), (expected,) = response.json()["predictions"], answers[name]["value"]["predictions"]
        assert answered.keys() == expected.keys()
        jsonschema.validate(answered, {"$ref": "#/components/schemas/Prediction", "components": document["components"]})


def test_its_limits_are_those_that_are_kept(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    limits = document["info"]["x-limits"]
    assert limits["body_bytes"] == 100_000
    assert limits["headers"] == 100
    assert "body bytes 100,000;" in document["info"]["description"]  # not 1e+05
    predict = document["paths"]["/predict"]["post"]
    ways = predict["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    item, items = next(iter(ways[0]["properties"])), next(iter(ways[1]["properties"]))
    assert limits[f"{items}_a_request"] == ways[1]["properties"][items]["maxItems"] == 4
    example = next(iter(predict["requestBody"]["content"]["application/json"]["examples"].values()))["value"][item]
    assert client.post("/predict", json={items: [example] * 4}).status_code == 200
    assert client.post("/predict", json={items: [example] * 5}).json()["code"] == "too_many"
    for status in ("401", "408", "413", "415", "429", "431"):
        assert status in predict["responses"]
    large = client.post("/predict", content=b" " * 100_001, headers={"content-type": "application/json"})
    assert large.status_code == 413
    many = client.get("/model", headers={f"a{number}": "b" for number in range(101)})
    assert (many.status_code, many.json()["code"]) == (431, "headers")


def test_the_swagger_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path, kind in (("docs/start.js", "javascript"), ("docs/swagger-ui.css", "css"),
                       ("docs/swagger-ui-bundle.js", "javascript")):  # fmt: skip
        assert path in page.text
        response = client.get(f"/{path}")
        assert response.status_code == 200
        assert kind in response.headers["content-type"]
        assert len(response.content) > 50
    assert client.get("/docs/../app.py").status_code == 404
