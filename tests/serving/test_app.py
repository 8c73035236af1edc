"""The service's HTTP face: what fits is answered, what does not is 4xx with a reason, never 5xx."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from components.inference.difference import difference
from components.inference.predictor import Arrays, EmbeddedPredictions, Predictor
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("bundle")
    small_package.bundle(folder, "7")
    app = ModelApp()
    app.serve(Worker(folder, None, threads=2))
    with TestClient(app.asgi) as client:
        yield client


def encoded(seed: int) -> str:
    return base64.b64encode(small_package.image(seed)).decode()


def test_all_ways_in_give_the_same_answer(client: TestClient) -> None:
    content = small_package.image(0)
    pixels = np.asarray(Image.open(io.BytesIO(content))).tolist()
    answers = [
        client.post("/predict", content=content, headers={"content-type": "image/png"}),
        client.post("/predict", content=content, headers={"content-type": "application/octet-stream"}),
        client.post("/predict", files={"image": ("a.png", content, "image/png")}),
        client.post("/predict", json={"image": encoded(0)}),
        client.post("/predict", json={"image": f"data:image/png;base64,{encoded(0)}"}),
        client.post("/predict", json={"images": [encoded(0)]}),
        client.post("/predict", json={"pixels": [pixels]}),
        client.post("/predict", json={"pixels": np.asarray(pixels)[None, :, :, None].tolist()}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 8
    documents = [answer.json() for answer in answers]
    assert len({document.pop("id") for document in documents}) == 8
    assert all(document == documents[0] for document in documents)
    prediction = answers[0].json()["predictions"][0]
    assert prediction["label"] == max(prediction["probabilities"], key=prediction["probabilities"].get)
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_batch_is_answered_in_order_as_if_alone(client: TestClient) -> None:
    together = client.post("/predict", json={"images": [encoded(seed) for seed in (2, 0, 1)]}).json()["predictions"]
    alone = [client.post("/predict", json={"image": encoded(seed)}).json()["predictions"][0] for seed in (2, 0, 1)]
    for one, other in zip(together, alone, strict=True):
        assert one["label"] == other["label"]
        assert list(one["probabilities"].values()) == pytest.approx(list(other["probabilities"].values()), abs=1e-6)


def test_every_answer_names_model_version_and_package(client: TestClient) -> None:
    for response in (client.post("/predict", json={"image": encoded(0)}), client.post("/predict", json={})):
        assert response.headers["x-modelyard-model"] == "sample"
        assert response.headers["x-modelyard-version"] == "7"
        assert len(response.headers["x-modelyard-package"]) == 64
    assert client.get("/model").json()["version"] == "7"


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 10 000 x 10 000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10_001 * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BAD: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no JSON": (b"{", JSON, 400, "json"),
    "deep JSON": (b"[" * 50_000, JSON, 400, "json"),
    "no UTF-8": (b'{"image": "\xff"}', JSON, 400, "json"),
    "a list": (b"[]", JSON, 422, "keys"),
    "unknown key": (b'{"picture": ""}', JSON, 422, "keys"),
    "parameters where there are none": (b'{"image": "", "parameters": {}}', JSON, 422, "keys"),
    "parameters alone": (b'{"parameters": {}}', JSON, 422, "keys"),
    "two keys": (b'{"image": "", "images": []}', JSON, 422, "keys"),
    "no base64": (b'{"image": "!!!"}', JSON, 400, "base64"),
    "a number": (b'{"image": 3}', JSON, 422, "type"),
    "images no list": (b'{"images": "abc"}', JSON, 422, "type"),
    "empty batch": (b'{"images": []}', JSON, 422, "empty"),
    "empty pixels": (b'{"pixels": []}', JSON, 422, "empty"),
    "empty image": (b"", {"content-type": "image/png"}, 422, "image"),
    "ragged pixels": (b'{"pixels": [[[1, 2], [3]]]}', JSON, 422, "shape"),
    "real pixels": (b'{"pixels": [[[0.5]]]}', JSON, 422, "type"),
    "text pixels": (b'{"pixels": [[["a"]]]}', JSON, 422, "type"),
    "null pixels": (b'{"pixels": null}', JSON, 422, "type"),
    "negative pixels": (b'{"pixels": [[[-1]]]}', JSON, 422, "range"),
    "bright pixels": (b'{"pixels": [[[256]]]}', JSON, 422, "range"),
    "huge pixels": (b'{"pixels": [[[99999999999999999999999]]]}', JSON, 422, "type"),
    "wrong size": (b'{"pixels": [[[1, 2], [3, 4]]]}', JSON, 422, "shape"),
    "flat pixels": (b'{"pixels": [1, 2]}', JSON, 422, "shape"),
    "text": (b"seven", {"content-type": "text/plain"}, 415, "content_type"),
    "no type": (b"seven", {}, 415, "content_type"),
    "no image": (b"seven", {"content-type": "image/png"}, 422, "image"),
    "truncated image": (small_package.image(0)[:60], {"content-type": "image/png"}, 422, "image"),
    "decompression bomb": (bomb(), {"content-type": "image/png"}, 422, "image"),
    "too large": (bytes(100_001), {"content-type": "image/png"}, 413, "too_large"),
    "broken form": (b"--x\r\nnonsense", {"content-type": "multipart/form-data; boundary=x"}, 422, "empty"),
    "form without boundary": (b"", {"content-type": "multipart/form-data"}, 400, "form"),
    "form without file": (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
        {"content-type": "multipart/form-data; boundary=x"},
        422,
        "empty",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's word beside our refusal
@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_with_a_reason(kind: str, client: TestClient) -> None:
    body, headers, status, code = BAD[kind]
    response = client.post("/predict", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"]


def test_a_bad_image_in_a_batch_is_named(client: TestClient) -> None:
    response = client.post("/predict", json={"images": [encoded(0), base64.b64encode(b"no image").decode()]})
    assert response.status_code == 422
    assert "1" in response.json()["where"]


def test_too_many_images_are_refused(client: TestClient) -> None:
    response = client.post("/predict", json={"images": [encoded(0)] * 5})
    assert (response.status_code, response.json()["code"]) == (422, "too_many")


def test_a_stream_without_length_is_cut_off_at_the_limit(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(10_000)

    response = client.post("/predict", content=pieces(), headers={"content-type": "image/png"})
    assert response.status_code == 413


def test_openapi_names_the_classes_and_the_shape(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    assert all(f'"{name}"' in text for name in small_package.CLASSES)
    assert document["paths"]["/predict"]["post"]["responses"].keys() == {
        "200", "400", "401", "408", "409", "413", "415", "422", "429", "431", "500", "503", "504",
    }  # fmt: skip


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    assert "sample" in page
    assert "http://" not in page
    assert "https://" not in page


def test_other_methods_and_paths_are_no_server_errors(client: TestClient) -> None:
    assert client.get("/predict").status_code == 405
    assert client.post("/nothing").status_code == 404


def test_golden_examples_are_answered_as_sealed(tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package")
    predictor = Predictor(package)
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        (prediction,) = predictor.predict([content])
        assert difference(example.answer, prediction) < 1e-5


def test_a_request_whose_body_has_not_come_takes_a_place_in_the_queue(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    settings = tmp_path / "serving.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_queue": 1}))
    app = ModelApp()
    app.serve(Worker(tmp_path, None, threads=1))
    content = small_package.image(0)
    pieces_read: list[str] = []

    async def ask(name: str, goes_on: asyncio.Event) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            pieces_read.append(name)
            yield content[:20]
            await goes_on.wait()
            yield content[20:]

        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post("/predict", content=body(), headers={"content-type": "image/png"})

    async def both() -> list[httpx.Response]:
        goes_on, at_once = asyncio.Event(), asyncio.Event()
        at_once.set()
        first = asyncio.create_task(ask("first", goes_on))
        while not pieces_read:
            await asyncio.sleep(0)
        refused = await ask("second", at_once)
        goes_on.set()
        return [await first, refused, await ask("third", at_once)]

    answers = asyncio.run(both())
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].json()["code"] == "busy"
    assert pieces_read == ["first", "third"]  # of the one that was refused nothing was read


@pytest.mark.slow
def test_a_large_body_is_parsed_while_the_event_loop_goes_on(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    settings = tmp_path / "serving.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_request_bytes": 20_000_000}))
    app = ModelApp()
    app.serve(Worker(tmp_path, None, threads=1))
    content = json.dumps({"pixels": [[[1] * 1000] * 2000]}).encode()  # 6 MB of numbers, and no picture of this model

    async def ask() -> tuple[httpx.Response, int]:
        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answer = asyncio.create_task(client.post("/predict", content=content, headers=JSON))
            turns = 0
            while not answer.done():
                await asyncio.sleep(0)
                turns += 1
            return await answer, turns

    answer, turns = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (422, "shape")
    assert turns > 1000  # parsed on the loop, or by one call that keeps the interpreter's lock: some tens


def test_requests_of_one_moment_are_answered_as_if_alone(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    app = ModelApp()
    worker = Worker(tmp_path, None, threads=1)
    app.serve(worker)
    sizes: list[int] = []
    slot = worker.slot_manager.current.champion
    assert slot
    assert slot.batcher
    compute = slot.batcher._compute

    def noting(samples: Sequence[Arrays], embeds: bool) -> EmbeddedPredictions:
        sizes.append(len(samples))
        return compute(samples, embeds)

    slot.batcher._compute = noting

    async def ask(count: int) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            images = [{"image": encoded(seed)} for seed in range(count)]
            alone = [await client.post("/predict", json=one) for one in images]
            return [*alone, *await asyncio.gather(*(client.post("/predict", json=one) for one in images))]

    answers = [answer.json()["predictions"] for answer in asyncio.run(ask(40))]
    assert max(sizes) > 1
    assert max(difference(one, other) for one, other in zip(answers[:40], answers[40:], strict=True)) < 1e-6


@pytest.mark.parametrize(
    ("text", "status", "code"), [("0", 504, "deadline"), ("soon", 400, "timeout"), ("nan", 400, "timeout")]
)
def test_a_request_may_name_how_long_it_waits(text: str, status: int, code: str, client: TestClient) -> None:
    headers = {"content-type": "image/png", "x-modelyard-timeout-ms": text}
    answer = client.post("/predict", content=small_package.image(0), headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.headers["content-type"]) == (
        status, code, "application/problem+json",
    )  # fmt: skip
    assert answer.json()["status"] == status
    headers["x-modelyard-timeout-ms"] = "10000"
    assert client.post("/predict", content=small_package.image(0), headers=headers).status_code == 200
