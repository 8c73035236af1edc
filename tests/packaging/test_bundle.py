"""A bundle on its own: built from a package, installed into an empty environment, it answers."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from components.contracts.pipeline import ServingOptions
from components.core.errors import CorruptArtifactError
from components.identity import manifest as manifests
from components.identity.package import Package
from components.inference.difference import difference
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import COMPILED, Bundle
from components.packaging.bundle_request import BundleRequest
from flows.pipelines.fingerprints import Fingerprint
from flows.platform.environment import QUIET
from tests import small_disk, small_package

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, spec: ServingOptions) -> Bundle:
    bundle = request(folder, spec)
    subprocess.run(command(folder), cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return bundle


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "components.packaging", str(folder / "request.json")]


def request(folder: Path, spec: ServingOptions, home: Path | None = None) -> Bundle:
    """Write a request to build a bundle; the bundle that it is about."""
    package = small_package.build(folder / "package")
    pinned = requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES)
    key = Fingerprint(
        bundle_inputs.inputs(package.digest, "4", spec, pinned, bundle_inputs.code(ROOT, small_package.TASK))
    ).digest
    document = BundleRequest(
        model="sample",
        version="4",
        key=key,
        package=str(package.folder),
        home=str(home or folder / "home"),
        source_root=str(ROOT),
        requirements=pinned,
        serving=spec,
    )
    (folder / "request.json").write_text(document.model_dump_json())
    return Bundle(home or folder / "home", "sample", key)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("bundle"), ServingOptions())


def test_it_holds_service_package_and_pins_and_no_training_code(bundle: Bundle) -> None:
    facts = bundle.verify().facts
    assert (facts["device"], facts["unpinned"]) == ("auto", [])
    assert facts["version"] == "4"
    held = {path.relative_to(bundle.source).as_posix() for path in bundle.source.rglob("*.py")}
    assert {
        "serving/service.py",
        "components/tasks/image_classification.py",
        "components/preprocessing/image.py",
    } <= held
    assert not any(name.startswith(("components/training", "components/models", "flows")) for name in held)
    pins = (bundle.folder / "env" / "python" / "requirements.txt").read_text()
    assert "torch" not in pins
    assert "onnxruntime==" in pins


def test_other_settings_give_another_bundle(bundle: Bundle) -> None:
    pinned = requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES)
    digest = str(bundle.verify().facts["package_digest"])
    parts = bundle_inputs.inputs(
        digest, "4", ServingOptions(max_batch_size=5), pinned, bundle_inputs.code(ROOT, small_package.TASK)
    )
    assert Fingerprint(parts).digest != bundle.key


def test_a_build_killed_at_any_moment_leaves_a_whole_bundle_or_none(tmp_path: Path) -> None:
    bundle = request(tmp_path, ServingOptions())
    begin = time.monotonic()
    while not bundle.exists():  # each build is given a little longer than the one before
        patience = 0.3 + 0.8 * (time.monotonic() - begin) * random.random()  # noqa: S311
        with subprocess.Popen(command(tmp_path), cwd=ROOT, env={**os.environ, **QUIET}) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
            process.kill()
        assert time.monotonic() - begin < 200
    manifests.verify(bundle.folder, "bento", COMPILED)
    bundle.verify()
    request(tmp_path, ServingOptions(max_batch_size=7))
    subprocess.run(command(tmp_path), cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    assert not list((bundle.home / "building").iterdir())


def test_two_builders_get_the_same_bundle_as_another_folder_has_and_one_of_another_does_not_wait(
    bundle: Bundle, tmp_path: Path
) -> None:
    same = request(tmp_path, ServingOptions())
    (tmp_path / "other").mkdir()
    other = request(tmp_path / "other", ServingOptions(max_batch_size=7), tmp_path / "home")
    processes = [
        subprocess.Popen(command(folder), cwd=ROOT, env={**os.environ, **QUIET})
        for folder in (tmp_path, tmp_path / "other", tmp_path)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert not list((same.home / "building").iterdir())
    for one in (same, other):
        one.verify()
        manifests.verify(one.folder, "bento", COMPILED)
    assert same.home != bundle.home
    assert same.tag == bundle.tag
    assert same.verify().digest == bundle.verify().digest


def test_a_full_disk_leaves_no_half_of_a_bundle(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path / "small", 1) as disk:
        bundle = request(tmp_path, ServingOptions(), disk / "home")
        done = subprocess.run(
            command(tmp_path), cwd=ROOT, env={**os.environ, **QUIET}, check=False, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "no space left on the disk" in done.stderr
        assert not bundle.folder.exists()
        assert not list((disk / "home" / "building").iterdir())


@pytest.fixture(scope="module")
def alone(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bundle served from an empty environment that was filled from its own requirements."""
    environment = tmp_path_factory.mktemp("empty")
    python = environment / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(environment)], check=True)
    pins = bundle.folder / "env" / "python" / "requirements.txt"
    subprocess.run([*uv, "pip", "install", "-q", "-p", str(python), "-r", str(pins)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bare = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BENTOML_HOME")}
    words = [str(python), "-m", "bentoml", "serve", str(bundle.folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(words, env={**bare, **QUIET, "BENTOML_HOME": str(environment)}, cwd=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until:
            assert process.poll() is None
            try:
                if httpx.get(f"{url}/readyz", trust_env=False, verify=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_it_answers_alone(alone: str, bundle: Bundle) -> None:
    image = base64.b64encode(small_package.image(0)).decode()
    answer = httpx.post(f"{alone}/predict", json={"image": image}, trust_env=False, verify=False)
    assert answer.status_code == 200
    golden = Package.open(bundle.source / "package").golden()[0].answer
    assert difference(golden, answer.json()["predictions"][0]) < 1e-5


def test_what_it_refuses_it_refuses_over_http(alone: str) -> None:
    answers = [
        httpx.post(f"{alone}/predict", content=b"seven", headers={"content-type": kind}, trust_env=False, verify=False)
        for kind in ("image/png", "text/plain", "application/json")
    ]
    assert [answer.status_code for answer in answers] == [422, 415, 400]
    assert all(answer.json()["detail"] for answer in answers)
    too_large = httpx.post(
        f"{alone}/predict",
        content=bytes(17_000_000),
        headers={"content-type": "image/png"},
        trust_env=False,
        verify=False,
    )
    assert too_large.status_code == 413


def test_a_bundle_with_a_changed_byte_does_not_start(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.home, tmp_path / "home", symlinks=True)
    broken = replace(bundle, home=tmp_path / "home")
    graph = broken.source / "package" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[100] ^= 1
    graph.write_bytes(bytes(content))
    with pytest.raises(CorruptArtifactError):
        broken.verify()
    words = [sys.executable, "-c", "import serving.service as s; s.ModelService.inner()"]
    done = subprocess.run(
        words, cwd=broken.source, env={**os.environ, **QUIET, "PYTHONPATH": str(broken.source)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "model.onnx" in done.stderr
