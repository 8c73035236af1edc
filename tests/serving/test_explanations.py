"""POST /explain and the golden examples: over the service, one at a time, beside predictions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package
from tests.serving import packages
from tests.serving.test_other_tasks import bundle

PNG = {"content-type": "image/png"}


def served(folder: Path) -> Any:
    app = ModelApp()
    app.serve(Worker(folder, None, threads=1))
    return app.asgi


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    small_package.bundle(tmp_path, "7")
    return TestClient(served(tmp_path))


def test_a_picture_is_explained_for_the_label_that_is_asked(client: TestClient) -> None:
    content = small_package.image(0)
    (answer,) = client.post("/predict", content=content, headers=PNG).json()["predictions"]
    found = client.post("/explain", content=content, headers=PNG)
    assert found.status_code == 200, found.text
    assert found.headers["x-modelyard-version"] == "7"
    assert "x-modelyard-prediction" not in found.headers  # it is no prediction, and is not logged
    document = found.json()
    assert (document["label"], document["score"]) == (answer["label"], answer["probabilities"][answer["label"]])
    assert document["model"]["version"] == "7"
    other = next(name for name in small_package.CLASSES if name != answer["label"])
    asked = client.post(f"/explain?label={other}", content=content, headers=PNG).json()
    assert asked["score"] == answer["probabilities"][other]
    seen = client.post("/explain?effects=none", content=content, headers=PNG).json()
    assert seen["input"] == document["input"]
    assert "effects" not in seen


@pytest.mark.parametrize(
    ("path", "content", "media", "status", "code"),
    [
        ("/explain", b"no picture", "image/png", 422, "image"),
        ("/explain?label=zebra", small_package.image(0), "image/png", 422, "label"),
        ("/explain", b"{}", "application/json", 422, "keys"),
        ("/explain", b"{", "application/json", 400, "json"),
        ("/explain", b"", "video/mp4", 415, "content_type"),
        ("/explain", b'{"pixels": []}', "application/json", 422, None),
    ],
)
def test_what_is_refused(
    client: TestClient, path: str, content: bytes, media: str, status: int, code: str | None
) -> None:
    found = client.post(path, content=content, headers={"content-type": media})
    assert found.status_code == status, found.text
    if code:
        assert found.json()["code"] == code
    assert client.post("/explain", content=small_package.image(0), headers=PNG).status_code == 200  # none is left busy


def test_one_sample_at_a_time(client: TestClient) -> None:
    files = [("image", (f"{number}.png", small_package.image(number), "image/png")) for number in range(2)]
    found = client.post("/explain", files=files)
    assert (found.status_code, found.json()["detail"]) == (422, "one sample is explained at a time")


def test_a_version_can_be_named_and_one_that_is_not_held_is_refused(client: TestClient) -> None:
    content = small_package.image(0)
    assert client.post("/explain", content=content, headers={**PNG, "x-modelyard-version": "7"}).status_code == 200
    assert client.post("/explain", content=content, headers={**PNG, "x-modelyard-version": "8"}).status_code == 409


def test_predictions_are_answered_meanwhile_and_a_second_explanation_waits(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7", slow=300)
    content = small_package.image(0)

    async def ask() -> tuple[httpx.Response, httpx.Response, list[bool]]:
        transport = httpx.ASGITransport(served(tmp_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            explaining = asyncio.create_task(client.post("/explain", content=content, headers=PNG))
            await asyncio.sleep(0.01)
            second = await client.post("/explain", content=content, headers=PNG)
            early = []
            for _ in range(2):
                assert (await client.post("/predict", content=content, headers=PNG)).status_code == 200
                early.append(not explaining.done())
            return await explaining, second, early

    first, second, early = asyncio.run(ask())
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (429, "busy", "5")
    assert early[0]


def test_golden_examples_can_be_tried(client: TestClient) -> None:
    listed = client.get("/examples").json()["examples"]
    assert listed
    assert set(listed[0]) == {"file", "media", "truth"}
    for one in listed:
        body = client.get(f"/examples/{one['file']}")
        assert body.headers["content-type"] == one["media"]
        assert client.post("/predict", content=body.content, headers={"content-type": one["media"]}).status_code == 200
    for name in ("outputs.json", "999.png", "..%2fmodel.onnx", "%2e%2e"):
        assert client.get(f"/examples/{name}").status_code == 404


def test_a_row_and_a_task_without_scores(tmp_path: Path) -> None:
    packages.table(tmp_path / "table")
    client = TestClient(served(tmp_path / "table"))
    name = client.get("/examples").json()["examples"][0]["file"]
    row = client.get(f"/examples/{name}").json()
    found = client.post("/explain", json=row).json()
    assert found["kind"] == "row"
    assert [part["column"] for part in found["parts"]] == list(row["row"])
    bundle(tmp_path / "echo", "1")
    refused = TestClient(served(tmp_path / "echo")).post("/explain", json={"text": "hello"})
    assert (refused.status_code, refused.json()["code"]) == (422, "explanation")
