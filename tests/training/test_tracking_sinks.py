"""What a training leaves in TensorBoard and in Weights & Biases, read back by their own readers."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from components.contracts.track_spec import TrackSpec, WandbSpec
from components.core.errors import UsageError
from components.training import stage
from components.training.sinks import EventStream
from components.training.wandb_log import wandb_sinks
from tests.training.prepared_digits import prepare, request

EPOCHS = 3


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    """The log of a small training with augmented images."""
    folder = tmp_path_factory.mktemp("tracking")
    prepare(folder / "prepared", 320, 60, 40)
    before = torch.get_num_threads()
    asked = request(folder / "prepared", folder / "run", epochs=EPOCHS, augment={"shift_pixels": 2})
    stage.train(asked, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    found = EventAccumulator(str(folder / "run" / "tensorboard"), size_guidance={"histograms": 0})
    found.Reload()
    return found


def test_histograms_of_weights_and_gradients(board: EventAccumulator) -> None:
    tags = board.Tags()["histograms"]
    weights = sorted(tag.removeprefix("weights/") for tag in tags if tag.startswith("weights/"))
    assert weights == sorted(tag.removeprefix("gradients/") for tag in tags if tag.startswith("gradients/"))
    assert any(tag.endswith("weight") for tag in weights)
    for tag in tags:
        steps = [event.step for event in board.Histograms(tag)]
        assert steps[0] == 5  # batches of an epoch
        assert steps[-1] == 5 * EPOCHS
        histogram = board.Histograms(tag)[-1].histogram_value
        assert histogram.num == sum(histogram.bucket)


def test_images_of_the_input_and_of_its_augmentation(board: EventAccumulator) -> None:
    from PIL import Image

    pictures = {}
    for tag in ("input/images", "input/augmented"):
        (event,) = board.Images(tag)
        pictures[tag] = Image.open(io.BytesIO(event.encoded_image_string))
        assert pictures[tag].size == (4 * 8, 4 * 8)
    assert pictures["input/images"].tobytes() != pictures["input/augmented"].tobytes()
    plain = prepare_first_image(board)
    assert pictures["input/images"].crop((0, 0, 8, 8)).convert("L").tobytes() in plain


def prepare_first_image(board: EventAccumulator) -> set[bytes]:
    """The bytes of every image of train."""
    import numpy as np

    images = np.load(Path(board.path).parents[1] / "prepared" / "train" / "images.npy")
    return {image.tobytes() for image in images}


def test_hyperparameters_and_texts(board: EventAccumulator) -> None:
    content = board.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["train.epochs"].number_value == EPOCHS
    assert start.hparams["train.augment.shift_pixels"].number_value == 2
    assert start.hparams["model.name"].string_value == "textbook"
    end = board.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert plugin_data_pb2.HParamsPluginData.FromString(end).session_end_info.status
    settings = board.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"name": "textbook"' in settings
    answers = board.Tensors("answers/golden/text_summary")[0].tensor_proto.string_val[0].decode()
    assert answers.count("\n") == 11  # the head and ten golden examples
    assert "| 000.png |" in answers


def test_wandb_is_refused_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path / "prepared", 64, 40, 40)
    asked = request(tmp_path / "prepared", tmp_path / "run")
    assert wandb_sinks(asked, tmp_path) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed"):
        wandb_sinks(asked.model_copy(update={"track": TrackSpec(wandb=WandbSpec())}), tmp_path)


READER = """
import glob, struct, sys
from wandb.proto import wandb_internal_pb2

def records(content):
    # The log format of LevelDB after a header of seven bytes: blocks of 32 KiB with parts of records.
    place, whole = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""

(file,) = glob.glob(sys.argv[1] + "/wandb/offline-run-*/run-*.wandb")
for record in records(open(file, "rb").read()):
    if record.HasField("run"):
        print("project", record.run.project, record.run.run_id)
    for item in record.history.item if record.HasField("history") else ():
        print("history", "/".join(item.nested_key) or item.key, item.value_json)
"""


@pytest.mark.slow
def test_wandb_has_the_curves_offline(tmp_path: Path) -> None:
    """In a process of its own, with the package from the environment or from the folder that WANDB_TARGET names."""
    target = os.environ.get("WANDB_TARGET", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, target]))}
    environment.pop("WANDB_MODE", None)
    probe = subprocess.run([sys.executable, "-c", "import wandb"], env=environment, capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("the package wandb is not installed: pip install 'modelyard[wandb]'")
    prepare(tmp_path / "prepared", 128, 60, 40)
    asked = request(tmp_path / "prepared", tmp_path / "run", epochs=2)
    asked = asked.model_copy(update={"track": TrackSpec(wandb=WandbSpec(project="curves"))})
    (tmp_path / "request.json").write_text(asked.model_dump_json())
    words = [sys.executable, "-m", "components.training", str(tmp_path / "request.json")]
    trained = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert "Weights & Biases failed" not in trained.stderr
    reading = [sys.executable, "-c", READER, str(tmp_path / "run")]
    lines = subprocess.run(reading, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"project curves {'ab' * 16}" in lines
    history = [line.split()[1:] for line in lines if line.startswith("history")]
    losses = [float(value) for name, value in history if name == "validation/loss"]
    assert len(losses) == 2
    assert {name for name, _ in history} >= {"train/loss", "validation/accuracy", "step", "epoch"}
