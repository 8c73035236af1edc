import fcntl
import io
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter

from components.contracts.training_request import Event, Finished, Started, TrainRequest
from components.core.errors import CorruptArtifactError, TrainingError, UsageError
from components.identity import manifest, user_source
from components.identity.package import Signature
from components.preprocessing.image import decode
from components.training import product, stage
from components.training.calibration import calibrate
from components.training.export import check_parity
from components.training.graphs.graph import build_graphs, compute
from components.training.prepared import open_prepared
from components.training.run_lock import locked
from components.training.sinks import EventStream
from tests.training.prepared_digits import CLASSES, prepare, request


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prepared` and a finished `run`; tests do not change them."""
    folder = tmp_path_factory.mktemp("stage")
    prepare(folder / "prepared")
    (folder / "events.jsonl").write_text(_train(folder, folder / "run"))
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _train(place: Path, run_folder: Path) -> str:
    stream = io.StringIO()
    stage.train(request(place / "prepared", run_folder), EventStream(stream))
    return stream.getvalue()


def test_the_events_are_the_contracts(place: Path) -> None:
    adapter: TypeAdapter[Event] = TypeAdapter(Event)
    events = [adapter.validate_json(line) for line in (place / "events.jsonl").read_text().splitlines()]
    first, last = events[0], events[-1]
    assert isinstance(first, Started)
    assert (first.epoch, first.steps_per_epoch, first.device, first.precision) == (0, 10, "cpu", "fp32")
    assert isinstance(last, Finished)
    assert (last.epochs, last.reason) == (2, "epochs")
    assert [event.event for event in events].count("metrics") >= 2


def test_leaves_the_parts_of_a_package(place: Path) -> None:
    trained = place / "run" / "trained"
    sealed = manifest.verify(trained, "trained")
    assert sealed.facts == {
        "train_fingerprint": "ab" * 32,
        "data_digest": manifest.load(place / "prepared", "prepared").digest,
        "kept_epoch": sealed.facts["kept_epoch"],
        "epochs": 2,
        "parameters": 1 * 8 * 9 + 2 * 8 + 8 * 16 * 9 + 2 * 16 + 2 * 2 * 16 * 10 + 10,
        "lineage": {},
        "calibration": sealed.facts["calibration"],
    }
    names = {"model.onnx", "model.safetensors", "model.json", "processor.json", "signature.json", "history.json"}
    golden = {"golden/index.json", "golden/outputs.json", *(f"golden/{row:03d}.png" for row in range(10))}
    assert set(sealed.files) == names | golden
    signature = Signature.model_validate_json((trained / "signature.json").read_bytes())
    assert signature.graphs["model"].model_dump() == {
        "inputs": [{"name": "images", "type": "uint8", "shape": ["batch", 8, 8, 1]}],
        "outputs": [
            {"name": "probabilities", "type": "float32", "shape": ["batch", 10]},
            {"name": "embedding", "type": "float32", "shape": ["batch", 64]},
        ],
        "on_request": ["embedding"],
    }
    assert signature.classes == CLASSES
    assert (trained / "processor.json").read_bytes() == (place / "prepared" / "processor.json").read_bytes()


def test_graph_weights_and_golden_answers_agree(place: Path) -> None:
    trained = place / "run" / "trained"
    made = open_prepared(place / "prepared", manifest.load(place / "prepared", "prepared").digest)
    network = stage.fresh_network(request(place / "prepared", place / "run"), made)
    network.load_state_dict(safetensors.torch.load_file(trained / "model.safetensors"))
    [graph] = build_graphs(network, made.processor)
    assert calibrate(request(place / "prepared", place / "run").train, network, [graph], made).kept
    golden = json.loads((trained / "golden" / "outputs.json").read_bytes())["examples"]
    contents = [(trained / "golden" / row["file"]).read_bytes() for row in golden]
    images = torch.stack([torch.from_numpy(decode(content, 8, 8, 1)) for content in contents])
    expected = compute(graph, {"images": images})["probabilities"]  # (N, K)
    said = [list(row["answer"]["probabilities"].values()) for row in golden]
    np.testing.assert_allclose(said, expected.numpy(), atol=1e-7)
    assert [row["answer"]["label"] for row in golden] == [CLASSES[place] for place in expected.argmax(dim=1)]
    batch = {"images": images}
    singles = [{"images": images[row : row + 1]} for row in range(len(images))]
    check_parity(graph, batch, singles, trained / "model.onnx")
    with torch.no_grad():
        network.head[-1].bias[0] += 1e-3
    with pytest.raises(TrainingError, match="exported graph differ from the network's"):
        check_parity(graph, batch, singles, trained / "model.onnx")


def test_a_network_of_anyones_leaves_the_digest_of_its_source(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
    from torch import nn

    class Flat(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1).float() / 255)

    def build(input_spec, output_spec, bias=True):
        return Flat(input_spec.height * input_spec.width * input_spec.channels, output_spec.classes, bias=bias)
    """
    (tmp_path / "anyones_network.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    model = {"family": "custom", "factory": "anyones_network:build", "options": {"bias": False}}
    asked = request(place / "prepared", tmp_path / "run", model=model)
    stage.train(TrainRequest.model_validate_json(asked.model_dump_json()), EventStream(io.StringIO()))
    trained = tmp_path / "run" / "trained"
    facts = manifest.verify(trained, "trained").facts
    digest = user_source.own("anyones_network", tmp_path)[0].digest
    assert facts["lineage"] == {"factory": "anyones_network:build", "factory_source": digest}
    assert facts["parameters"] == 640
    assert json.loads((trained / "model.json").read_bytes())["options"] == {"bias": False}


def test_tensorboard_reads_its_log(place: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = sorted((place / "run" / "tensorboard").iterdir())
    tags = {value.tag for file in files for event in EventFileLoader(str(file)).Load() for value in event.summary.value}
    assert {"train/loss", "validation/accuracy", "learning_rate"} <= tags


def test_what_stands_is_not_trained_again(place: Path) -> None:
    before = (place / "run" / "trained" / "manifest.json").stat().st_mtime_ns
    assert _train(place, place / "run") == ""
    assert (place / "run" / "trained" / "manifest.json").stat().st_mtime_ns == before


def test_another_run_gives_the_same_digest(place: Path, tmp_path: Path) -> None:
    _train(place, tmp_path / "run")
    again, first = tmp_path / "run" / "trained", place / "run" / "trained"
    assert manifest.load(again, "trained").digest == manifest.load(first, "trained").digest


def test_damaged_parts_are_made_again_from_the_checkpoint(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(place, tmp_path / "run")
    graph = tmp_path / "run" / "trained" / "model.onnx"
    good = graph.read_bytes()
    graph.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    events = _train(place, tmp_path / "run")
    assert "damaged" in capsys.readouterr().err
    assert graph.read_bytes() == good
    assert '"resumed":true' in events


def test_a_corrupt_prepared_file_is_named_and_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared", train=64, validation=16, test=16)
    images = tmp_path / "prepared" / "train" / "images.npy"
    content = images.read_bytes()
    images.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptArtifactError) as caught:
        _train(tmp_path, tmp_path / "run")
    assert str(images) == caught.value.where


def test_other_data_than_asked_for_is_refused(place: Path, tmp_path: Path) -> None:
    asked = request(place / "prepared", tmp_path / "run").model_copy(update={"data_digest": "f" * 64})
    with pytest.raises(TrainingError, match="not the data of the request"):
        stage.train(asked, EventStream(io.StringIO()))


def test_a_checkpoint_of_another_training_is_refused(place: Path, tmp_path: Path) -> None:
    _train(place, tmp_path / "run")
    other = request(place / "prepared", tmp_path / "run").model_copy(update={"train_fingerprint": "cd" * 32})
    assert product.finished_parts(tmp_path / "run" / "trained", other.train_fingerprint) is None
    with pytest.raises(TrainingError, match="another training"):
        stage.train(other, EventStream(io.StringIO()))


def test_a_second_trainer_waits_and_then_refuses(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(TrainingError, match="another process trains in this run"),
            locked(tmp_path / "run", 0.3),
        ):
            pass
    with locked(tmp_path / "run", 0.0):
        assert (tmp_path / "run" / "lock").exists()


@pytest.mark.parametrize("arguments", [[], ["nothing.json"], ["a", "b"]])
def test_a_request_that_cannot_be_read(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        TrainRequest.read(arguments)


def test_a_reader_that_has_gone_does_not_stop_the_training(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    sink = EventStream(Gone())
    event = Finished(epochs=1, kept_epoch=1, reason="epochs", seconds=0.0)
    sink.emit(event)
    sink.emit(event)
