"""A bundle on its own: built from a package, installed into an empty environment, it answers."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from components.contracts.pipeline import ServingOptions
from components.core.errors import CorruptArtifactError
from components.identity import manifest as manifests
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import COMPILED, Bundle
from flows.pipelines.fingerprints import Fingerprint
from flows.platform.environment import QUIET
from tests import small_disk, small_package
from tests.packaging.small_bundle import build, command, request

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


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
