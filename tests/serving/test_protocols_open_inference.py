"""The Open Inference Protocol: Triton's own client asks, unchanged, and gets the answers of /predict."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from components.contracts.serving_spec import SlotSpec
from tests import small_package
from tests.serving import packages
from tests.serving.service import over_http

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


@contextmanager
def asked(url: str) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bundle")
    small_package.bundle(folder, "7")
    with over_http(folder) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with asked(url) as client:
        yield client


def tensor(name: str, datatype: str, values: NDArray[Any], binary: bool) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), datatype)
    found.set_data_from_numpy(values, binary_data=binary)
    return found


def objects(values: list[Any]) -> NDArray[Any]:
    return np.array(values, object)


def native(url: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    response = httpx.post(f"{url}/predict", json=document)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sample")
    assert client.is_model_ready("sample", "7")
    assert not client.is_model_ready("sample", "8")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    about = client.get_model_metadata("sample")
    assert (about["name"], about["versions"]) == ("sample", ["7"])
    assert about["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}]
    assert about["parameters"]["other_inputs"] == [[{"name": "image", "datatype": "BYTES", "shape": [-1]}]]
    label, probabilities = about["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [-1]}
    assert probabilities["shape"] == [-1, 3]
    assert probabilities["parameters"]["labels"] == small_package.CLASSES
    assert about == client.get_model_metadata("sample", "7")


@pytest.mark.parametrize("binary_output", [True, False])
@pytest.mark.parametrize("binary_input", [True, False])
def test_images_as_tensors_and_as_files_give_the_answers_of_predict(
    url: str, client: triton.InferenceServerClient, binary_input: bool, binary_output: bool
) -> None:
    expected = native(url, {"pixels": PIXELS.tolist()})
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_output) for name in ("probabilities", "label")]
    result = client.infer("sample", [tensor("images", "UINT8", PIXELS, binary_input)], outputs=outputs, request_id="a")
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("sample", "7", "a")
    rows = [list(one["probabilities"].values()) for one in expected]
    assert (result.as_numpy("probabilities") == np.array(rows, np.float32)).all()
    labels = result.as_numpy("label").tolist()
    assert [one.decode() if binary_output else one for one in labels] == [one["label"] for one in expected]

    files = [small_package.image(seed) for seed in range(2)]
    encoded = [base64.b64encode(file).decode() for file in files]
    given = objects(files) if binary_input else objects([text.encode() for text in encoded])
    result = client.infer("sample", [tensor("image", "BYTES", given, binary_input)], model_version="7")
    rows = [list(one["probabilities"].values()) for one in native(url, {"images": encoded})]
    assert (result.as_numpy("probabilities") == np.array(rows, np.float32)).all()


def test_requested_outputs_alone_come_back(client: triton.InferenceServerClient) -> None:
    wanted = [triton.InferRequestedOutput("label")]
    result = client.infer("sample", [tensor("images", "UINT8", PIXELS, True)], outputs=wanted)
    assert [one["name"] for one in result.get_response()["outputs"]] == ["label"]


def images(**changes: Any) -> dict[str, Any]:
    """A request with one tensor, after changes; None takes a key out."""
    one = {"name": "images", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64, **changes}
    return {"inputs": [{key: value for key, value in one.items() if value is not None}]}


BAD: dict[str, tuple[Any, int]] = {
    "no JSON": (b"{", 400),
    "no object": ([], 400),
    "no inputs": ({}, 400),
    "empty inputs": ({"inputs": []}, 400),
    "inputs no list": ({"inputs": "a"}, 400),
    "an unknown tensor": (images(name="x"), 400),
    "a tensor twice": ({"inputs": images()["inputs"] * 2}, 400),
    "no name": (images(name=None), 400),
    "no datatype": (images(datatype=None), 400),
    "an unknown datatype": (images(datatype="FP8"), 400),
    "a datatype that does not fit": (images(datatype="FP32"), 400),
    "texts for numbers": (images(datatype="BYTES"), 400),
    "no shape": (images(shape=None), 400),
    "a wrong shape": (images(shape=[1, 8, 8, 2]), 400),
    "a negative size": (images(shape=[-1, 8, 8, 1]), 400),
    "a huge size": (images(shape=[2**62, 8, 8, 1]), 400),
    "true as a size": (images(shape=[True, 8, 8, 1]), 400),
    "no sample": (images(shape=[0, 8, 8, 1], data=[]), 400),
    "too many samples": (images(shape=[5, 8, 8, 1], data=[0] * 320), 400),
    "too few elements": (images(data=[0] * 63), 400),
    "no data": (images(data=None), 400),
    "a number too large": (images(data=[0] * 63 + [256]), 400),
    "a negative number": (images(data=[0] * 63 + [-1]), 400),
    "a real number": (images(data=[0] * 63 + [0.5]), 400),
    "null": (images(data=[0] * 63 + [None]), 400),
    "true": (images(data=[0] * 63 + [True]), 400),
    "deep data": (images(data=json.loads("[" * 100 + "]" * 100)), 400),
    "binary data that is not there": (images(data=None, parameters={"binary_data_size": 64}), 400),
    "shared memory": (images(data=None, parameters={"shared_memory_region": "a"}), 400),
    "an unknown output": ({**images(), "outputs": [{"name": "x"}]}, 400),
    "classification": ({**images(), "outputs": [{"name": "label", "parameters": {"classification": 2}}]}, 400),
    "a sequence": ({**images(), "parameters": {"sequence_id": 1}}, 400),
    "no base64": (images(name="image", datatype="BYTES", shape=[1], data=["!"]), 400),
    "no image": (images(name="image", datatype="BYTES", shape=[1], data=["aGVsbG8="]), 400),
    "too large": (b" " * 100_001, 413),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_refused_as_the_protocol_says(kind: str, url: str) -> None:
    body, status = BAD[kind]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx.post(f"{url}/v2/models/sample/infer", content=content)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert isinstance(response.json()["error"], str)


def test_wrong_headers_versions_models_and_paths_are_refused(url: str) -> None:
    def asked(path: str, header: bytes | None = None) -> tuple[int, list[str]]:
        headers = {} if header is None else {"Inference-Header-Content-Length": header}
        response = httpx.post(f"{url}/v2/models/{path}", content=json.dumps(images()), headers=headers)
        return response.status_code, list(response.json())

    for header in (b"-1", b"x", b"100000", "٣".encode(), b"9" * 5000):
        assert asked("sample/infer", header) == (400, ["error"])
    assert asked("sample/versions/7/infer")[0] == 200
    assert asked("sample/versions/8/infer") == (409, ["error"])
    assert asked("other/infer") == (404, ["error"])
    assert asked("sample/config") == (404, ["error"])
    assert asked("sample/ready") == (405, ["error"])


def test_the_client_raises_its_own_error(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"400.*another shape"):
        client.infer("sample", [tensor("images", "UINT8", PIXELS[..., :0], True)])


@pytest.mark.parametrize("binary", [True, False])
def test_rows_of_a_table_are_one_tensor_a_column(tmp_path: Path, binary: bool) -> None:
    with served(packages.table, tmp_path) as (url, client):
        about = client.get_model_metadata("sample")
        assert [(one["name"], one["datatype"]) for one in about["inputs"]] == [
            ("age", "FP64"), ("height", "FP64"), ("town", "BYTES"),
        ]  # fmt: skip
        given = [
            tensor("age", "FP32", np.array([30, 51.5, 42], np.float32), binary),
            tensor("height", "FP64", np.array([[1.7], [1.6], [1.85]]), binary),
            tensor("town", "BYTES", objects([b"Ulm", b"Bonn", b""]), binary),
        ]
        rows = [{**row, "height": height} for row, height in zip(packages.ROWS, (1.7, 1.6, 1.85), strict=True)]
        expected = native(url, {"rows": rows})
        result = client.infer("sample", given)
        assert result.as_numpy("label").tolist() == [one["label"].encode() for one in expected]
        probabilities = np.array([list(one["probabilities"].values()) for one in expected], np.float32)
        assert (result.as_numpy("probabilities") == probabilities).all()
        unknown = [json.loads(one) for one in result.as_numpy("unknown_categories")]
        assert unknown == [one["unknown_categories"] for one in expected]

        with pytest.raises(InferenceServerException, match=r"not the input tensors.*age, height, town"):
            client.infer("sample", given[:2])
        with pytest.raises(InferenceServerException, match="different numbers of samples"):
            client.infer("sample", [*given[:2], tensor("town", "BYTES", objects([b"Ulm"]), binary)])
        null = httpx.post(f"{url}/v2/models/sample/infer", json={"inputs": [
            {"name": "age", "datatype": "INT64", "shape": [1], "data": [51]},
            {"name": "height", "datatype": "FP64", "shape": [1], "data": [None]},
            {"name": "town", "datatype": "BYTES", "shape": [1], "data": [None]},
        ]})  # fmt: skip
        assert null.status_code == 200, null.text
        assert null.json()["outputs"][0]["data"] == [
            native(url, {"row": {"age": 51, "height": None, "town": None}})[0]["label"]
        ]


@pytest.mark.parametrize("binary", [True, False])
def test_series_are_one_tensor(tmp_path: Path, binary: bool) -> None:
    with served(packages.series, tmp_path) as (url, client):
        assert client.get_model_metadata("sample")["inputs"] == [
            {"name": "values", "datatype": "FP64", "shape": [-1, 4, 2]}
        ]
        expected = native(url, {"series": packages.SERIES.tolist()})
        for datatype, kind in (("FP64", np.float64), ("FP32", np.float32)):
            result = client.infer("sample", [tensor("values", datatype, packages.SERIES.astype(kind), binary)])
            probabilities = [list(one["probabilities"].values()) for one in expected]
            assert result.as_numpy("probabilities") == pytest.approx(np.array(probabilities), abs=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_texts_and_parameters(tmp_path: Path, binary: bool) -> None:
    with served(packages.language_model, tmp_path) as (url, client):
        prompts = ["one two", "six"]
        parameters = {"max_tokens": 3}
        given = tensor("prompt", "BYTES", objects([prompt.encode() for prompt in prompts]), binary)
        result = client.infer("sample", [given], parameters=parameters)
        expected = native(url, {"prompts": prompts, "parameters": parameters})
        assert result.as_numpy("text").tolist() == [one["text"].encode() for one in expected]
        assert result.as_numpy("tokens").tolist() == [3, 2]
        assert result.as_numpy("tokens").dtype == np.int64
        with pytest.raises(InferenceServerException, match="max_tokens"):
            client.infer("sample", [given], parameters={"max_tokens": -3})


@contextmanager
def served(build: Callable[[Path], SlotSpec], folder: Path) -> Iterator[tuple[str, triton.InferenceServerClient]]:
    build(folder)
    with over_http(folder) as url, asked(url) as client:
        yield url, client
