"""What is out of date: comments are nothing, functions are named, serving code rebuilds the bundle and no more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.house import House

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def outcome(house: House) -> dict[str, Any]:
    """digits, up to date."""
    found: dict[str, Any] = house.json("run", "digits")
    return found


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


def due(house: House) -> dict[str, list[str]]:
    stages = house.json("why", "digits")["stages"]
    return {stage: reasons for stage, reasons in stages.items() if reasons != "up to date"}


def test_nothing_is_due_after_a_run(house: House) -> None:
    assert due(house) == {}


def test_what_changes_nothing(house: House) -> None:
    with ExitStack() as edits:
        for file, old, new in (
            ("components/training/loop.py", "from __future__", "# a comment\nfrom __future__"),
            ("components/ingestion/digits.py", "from __future__", "# a comment\nfrom __future__"),
            ("serving/app.py", "from __future__", "# a comment\nfrom __future__"),
            ("data/digits/dataset.yaml", "name: digits", "# a comment\nname: digits"),
            ("pipelines/digits.yaml", "name: digits", "# a comment\nname: digits"),
            ("components/models/resnet.py", "class ResNet(", "def unused() -> None: ...\n\n\nclass ResNet("),
        ):
            edits.enter_context(edited(house.root / file, old, new))
        assert due(house) == {}  # else the reason names the one that is to blame


@pytest.mark.parametrize(
    ("file", "old", "new", "stages", "said"),
    [
        ("pipelines/digits.yaml", "batch_size: 64", "batch_size: 32", {"train", "evaluate", "register", "bundle"},
         "train.batch_size 64 -> 32"),
        ("components/models/textbook_cnn.py", "nn.ReLU", "nn.GELU", {"train", "evaluate", "register", "bundle"},
         "components.models.textbook_cnn:"),
        ("components/evaluation/metrics.py", "def accuracy", "def extra() -> int:\n    return 1\n\n\ndef accuracy",
         {"evaluate", "register", "bundle"}, "components.evaluation.metrics:extra is new"),
        ("serving/app.py", "(1 if refusal.status", "(2 if refusal.status", {"bundle"},
         "serving.app:ModelApp._refused changed"),
        ("data/digits/dataset.yaml", "seed: 0", "seed: 1", {"prepare", "train", "evaluate", "register", "bundle"},
         "split.seed"),
    ],
)  # fmt: skip
def test_what_changed_is_named(house: House, file: str, old: str, new: str, stages: set[str], said: str) -> None:
    with edited(house.root / file, old, new):
        found = due(house)
    assert found.keys() == stages
    first = next(reasons for reasons in found.values())
    assert any(said in reason for reason in first), first


def test_serving_code_rebuilds_the_bundle_and_trains_nothing(house: House, outcome: dict[str, Any]) -> None:
    with edited(house.root / "serving" / "app.py", "(1 if refusal.status", "(3 if refusal.status"):
        after = house.json("run", "digits")
    assert after["bundle"] != outcome["bundle"]
    assert (after["version"], after["package"]) == (outcome["version"], outcome["package"])


def test_data_that_is_made_again_as_it_was_trains_nothing_and_says_why(house: House, outcome: dict[str, Any]) -> None:
    shutil.rmtree(house.root / "data" / "digits" / "prepared")
    done = house.run("run", "digits")
    assert "waits for its data" in done.stdout + done.stderr
    assert f"training: version {outcome['version']} in the registry was trained from equal inputs" in done.stderr


def flip(path: Path) -> bytes:
    """Change one byte in the middle, size and time kept, and give the content from before."""
    before, times = path.read_bytes(), path.stat()
    middle = len(before) // 2
    path.chmod(0o644)
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return before


@pytest.mark.parametrize(
    ("file", "force"),
    [
        ("data/digits/raw/samples.parquet", "validate"),
        ("data/digits/prepared/train/images.npy", "train"),
    ],
)
def test_a_corrupt_data_file_is_named_and_refused(house: House, file: str, force: str) -> None:
    path = house.root / file
    before = flip(path)
    try:
        done = house.run("run", "digits", "--force", force, check=False)
        assert done.returncode == 1
        assert path.name in done.stderr
        assert "sha256" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        path.write_bytes(before)


def test_a_corrupt_package_is_named_and_refused(house: House, outcome: dict[str, Any]) -> None:
    name = house.pipeline("corrupt", train={"epochs": 1, "seed": 21}, gates={})
    package = house.json("run", name)["package"]
    (folder,) = [
        found.parent
        for found in (house.project.state / "packages").glob("*/manifest.json")
        if package in found.read_text()
    ]
    before = flip(folder / "model.onnx")
    done = house.run("run", name, "--force", "bundle", check=False)
    assert (done.returncode, "model.onnx" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    (folder / "model.onnx").write_bytes(before)
    bundle = house.project.bundles / "bentos"
    (graph,) = (bundle / name).glob("*/src/package/model.onnx")
    flip(graph)
    promoted = house.run("promote", name, "1", check=False)
    assert (promoted.returncode, "model.onnx" in promoted.stderr, "Traceback" in promoted.stderr) == (3, True, False)


def test_a_model_below_its_floor_is_refused_and_not_registered(house: House) -> None:
    name = house.pipeline("weak", train={"epochs": 1, "seed": 22}, gates={"accuracy": {"min": 0.999}})
    done = house.run("run", name, check=False)
    assert done.returncode == 3
    assert "accuracy" in done.stderr
    assert name not in {row["name"] for row in house.json("models")}


def test_wrong_use_ends_with_two_and_starts_nothing(house: House) -> None:
    for words in (
        ("run", "nothing"),
        ("run", "digits", "--force", "everything"),
        ("run", "digits", "--set", "train.epochs=no"),
        ("run", "digits", "--set", "epochs"),
        ("why", "digits", "--set", "train.epoch=3"),
        ("serve", "digits", "--version", "99"),
    ):
        done = house.run(*words, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), (words, done.stderr)
