"""What an answer depends on: effects are differences of answers, and small trained networks look where the label is."""

from __future__ import annotations

import base64
import io
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.evaluation_request import EvaluationRequest
from components.core.errors import SampleError
from components.evaluation import stage
from components.identity.package import Package
from components.inference import explanation
from components.inference.predictor import Predictor
from components.training import stage as training
from components.training.prepared import open_prepared
from components.training.sinks import EventStream
from tests import echo_task, generation_package, small_package
from tests.preprocessing.wav_files import wav
from tests.training import prepared_task
from tests.training.prepared_digits import request

RATE = 4000


def explain(predictor: Predictor, item: Any, label: str | None = None) -> dict[str, Any]:
    """An explanation, all of its steps."""
    steps = explanation.explaining(predictor, item, None, label)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: dict[str, Any] = end.value
            return found


def of_images(tmp_path: Path) -> Predictor:
    return Predictor(small_package.build(tmp_path / "package"))


def test_the_effect_of_a_patch_is_the_difference_that_it_makes(tmp_path: Path) -> None:
    predictor = of_images(tmp_path)
    content = small_package.image(0)
    found = explain(predictor, content)
    (answer,) = predictor.predict([content])
    assert (found["method"], found["kind"], found["label"]) == ("occlusion", "image", answer["label"])
    assert found["score"] == answer["probabilities"][answer["label"]]
    (sample,) = predictor.read([content])
    shown = found["input"]
    assert base64.b64decode(shown["pixels"]) == sample["images"].tobytes()
    assert (shown["height"], shown["width"], shown["channels"]) == sample["images"].shape == (8, 8, 1)
    assert np.shape(found["effects"]) == (8, 8)
    for row, column in ((0, 0), (3, 5), (7, 7)):
        changed = sample["images"].copy()
        mean = round(255 * predictor.processor.input_spec().mean[0])  # type: ignore[attr-defined]
        changed[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = mean
        (other,) = predictor.answer([{"images": changed}])
        expected = found["score"] - other["probabilities"][found["label"]]
        assert found["effects"][row][column] == pytest.approx(expected, abs=1e-6)


def test_any_label_can_be_followed_and_none_that_is_not_there(tmp_path: Path) -> None:
    predictor = of_images(tmp_path)
    content = small_package.image(0)
    (answer,) = predictor.predict([content])
    for label, probability in answer["probabilities"].items():
        assert explain(predictor, content, label=label)["score"] == probability
    with pytest.raises(SampleError, match="no such label") as caught:
        explain(predictor, content, label="zebra")
    assert caught.value.code == "label"


def test_answers_without_a_score_are_refused(tmp_path: Path) -> None:
    predictor = Predictor(echo_task.build(tmp_path / "package"))
    with pytest.raises(SampleError, match="no score to explain") as caught:
        explain(predictor, "a text")
    assert caught.value.code == "explanation"


def test_no_patch_is_left_out_whatever_the_size() -> None:
    for size in (1, 5, 13, 14, 15, 64, 225):
        edges = explanation._edges(size, 14)
        assert edges[0] == 0
        assert edges[-1] == size
        assert all(before < after for before, after in pairwise(edges))
        assert len(edges) - 1 == min(size, 14)


def trained(
    folder: Path, task: str, settings: dict[str, Any], model: dict[str, Any], maker: Any = None, **train: Any
) -> Predictor:
    """A small network of invented samples, as a package that answers."""
    prepared_task.prepare(folder / "prepared", task, settings, maker=maker)
    asked = request(folder / "prepared", folder / "run", model=model, **{"batch_size": 32, **train})
    training.train(asked, EventStream(io.StringIO()))
    document = {**asked.model_dump(mode="json"), "package": str(folder / "package")}
    (folder / "request.json").write_text(EvaluationRequest.model_validate(document).model_dump_json())
    stage.main([str(folder / "request.json")])
    return Predictor(Package.open(folder / "package"))


@pytest.mark.slow
def test_the_word_that_makes_the_label(tmp_path: Path) -> None:
    words = {"tokenizer": {"kind": "words", "min_frequency": 1}, "max_length": 24}
    model = {"family": "rnn", "name": "lstm", "embedding": 16, "bidirectional": True, "width": 16}
    predictor = trained(tmp_path, "text-classification", words, model, epochs=8)
    for text, label, word in (("cat  river lovely\ntree", "good", "lovely"), ("🌲 awful bird house", "bad", "awful")):
        found = explain(predictor, text)
        assert (found["kind"], found["label"]) == ("text", label)
        assert [part["text"] for part in found["parts"]] == text.split()
        assert all(text[part["start"] : part["end"]] == part["text"] for part in found["parts"])
        largest = max(zip(found["effects"], found["parts"], strict=True), key=lambda one: one[0])
        assert largest[1]["text"] == word
        other = next(name for name in ("good", "bad") if name != label)
        against = explain(predictor, text.encode(), label=other)["effects"]
        assert against == pytest.approx([-effect for effect in found["effects"]], abs=1e-6)
    single = explain(predictor, "lovely")
    assert [part["text"] for part in single["parts"]] == list("lovely")
    assert len(explain(predictor, "x")["effects"]) == 1
    long = explain(predictor, " ".join(["cat"] * 450 + ["good"]))
    assert len(long["parts"]) == 151
    assert json.loads(json.dumps(long)) == long


@pytest.mark.slow
def test_the_column_that_makes_the_label(tmp_path: Path) -> None:
    def rows(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        found = []
        for _ in range(count):
            size, colour = float(rng.normal()), str(rng.choice(["red", "green", "blue"]))
            noise = float(rng.normal())
            label = "yes" if size + 2 * (colour == "red") > 0.7 else "no"
            found.append({"row": {"size": size, "colour": colour, "noise": noise}, "label": label})
        return found

    model = {"family": "mlp", "name": "mlp", "width": 32}
    predictor = trained(tmp_path, "tabular-classification", {}, model, rows, epochs=12)
    found = explain(predictor, {"size": -1.5, "colour": "red", "noise": 0.3})
    effects = dict(zip([part["column"] for part in found["parts"]], found["effects"], strict=True))
    assert (found["kind"], found["label"]) == ("row", "no")
    assert max(effects, key=effects.__getitem__) == "size"
    assert abs(effects["noise"]) < 0.2
    sizes = next(part for part in found["parts"] if part["column"] == "size")
    assert sizes["value"] == -1.5
    assert abs(sizes["replaced_by"]) < 0.2  # the median of train


@pytest.mark.slow
def test_the_part_of_a_sound_that_makes_the_label(tmp_path: Path) -> None:
    def tones(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        return [{"sound": tone(label := str(rng.choice(["low", "high"])), rng), "label": label} for _ in range(count)]

    def tone(label: str, rng: np.random.Generator, begin: int | None = None) -> bytes:
        """A second of noise with a quarter of a second of a tone in it."""
        samples = rng.normal(0, 0.01, RATE)
        first = int(rng.integers(0, RATE * 3 // 4)) if begin is None else begin
        time = np.arange(RATE // 4) / RATE
        samples[first : first + RATE // 4] += 0.5 * np.sin(2 * np.pi * (300 if label == "low" else 1500) * time)
        return wav((samples * 20_000).astype(np.int16), RATE)

    settings = {"rate": RATE, "bands": 16, "max_seconds": 1.0}
    model = {"family": "cnn", "name": "spectrogram-cnn", "width": 8}
    predictor = trained(tmp_path, "sound-classification", settings, model, tones, epochs=6)
    found = explain(predictor, tone("high", np.random.default_rng(7), begin=0))
    assert (found["kind"], found["label"]) == ("spectrogram", "high")
    effects = np.array(found["effects"])
    assert effects.shape == (8, 32)
    most = np.unravel_index(np.argmax(effects), effects.shape)
    assert most[1] < 10  # in the first quarter
    assert most[0] < 4  # of the upper bands, which are above
    picture = np.frombuffer(base64.b64decode(found["input"]["pixels"]), np.uint8)
    picture = picture.reshape(found["input"]["height"], found["input"]["width"])
    bright = np.unravel_index(np.argmax(picture), picture.shape)
    assert bright[0] < picture.shape[0] / 2
    assert bright[1] < picture.shape[1] / 3


@pytest.mark.slow
def test_a_series_and_a_number(tmp_path: Path) -> None:
    def made(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """The number is the sum of the last four of twelve steps of the first of two channels."""
        found = []
        for _ in range(count):
            values = rng.normal(0, 1, (12, 2))
            found.append({"values": values.ravel(), "target": np.array([values[-4:, 0].sum()])})
        return found

    settings = {"channels": 2, "max_length": 12, "fixed": True}
    model = {"family": "rnn", "name": "gru", "width": 16}
    predictor = trained(tmp_path, "series-regression", settings, model, made, epochs=10)
    rng = random.Random(3)  # noqa: S311
    values = [[2.0 if step >= 8 else rng.gauss(0, 1), rng.gauss(0, 1)] for step in range(12)]
    found = explain(predictor, values)
    assert (found["kind"], found["label"]) == ("series", None)
    effects = np.array(found["effects"])
    assert effects.shape == (2, 12)
    assert np.allclose(found["input"]["values"], values)
    assert effects[0, 8:].sum() > 3 * np.abs(effects[1]).sum()
    with pytest.raises(SampleError, match="no score"):
        explain(predictor, values, label="up")


@pytest.mark.slow
def test_what_a_task_without_scores_sees_is_shown_and_not_explained(tmp_path: Path) -> None:
    """Of a forecast, whose input has another name than that of other series."""
    settings = {"look_back": 24, "horizon": 6}
    digest = prepared_task.prepare(tmp_path / "data", "forecasting", settings, (200, 60, 60))
    model = {"family": "linear", "name": "dlinear"}
    made = open_prepared(tmp_path / "data", digest)
    predictor = Predictor(generation_package.build(tmp_path / "package", model, made))
    values = [[float(step), 1.0] for step in range(24)]
    seen = explanation.seen(predictor, values)
    assert seen["kind"] == "series"
    assert np.shape(seen["input"]["values"]) == (24, 2)
    with pytest.raises(SampleError, match="no score to explain"):
        explain(predictor, values)
