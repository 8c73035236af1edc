"""Pretrained weights of images keep the normalisation that they were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter
from torch import nn

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import CorruptArtifactError, UsageError
from components.identity import digest
from components.models.build import build
from components.training import pretrained

SPEC: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
HUB = "hub:org/net"
TINY = {"family": "cnn", "name": "convnext", "widths": [4, 8], "depths": [1, 1], "patch": 2}
STATED = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3], "size": {"shortest_edge": 224}}


def images(normalise: str = "auto", mean: float = 0.2, size: int = 16) -> ImageInput:
    document = {"height": size, "width": size, "channels": 3, "mean": [mean] * 3, "std": [0.25] * 3}
    return ImageInput.model_validate({**document, "normalise": normalise})


def network(input_spec: ImageInput, model: dict[str, Any] = TINY) -> nn.Module:
    torch.manual_seed(0)
    return build(SPEC.validate_python(model), input_spec, ClassesOutput(classes=3))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights without statistics, as of the hub, in a mirror."""
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    path = tmp_path / "org" / "net" / "model.safetensors"
    path.parent.mkdir(parents=True)
    state = {name: value.contiguous() for name, value in network(images()).state_dict().items() if "stand" not in name}
    safetensors.torch.save_file(state, path)
    return path


def started(input_spec: ImageInput, source: str = HUB, **model: Any) -> tuple[nn.Module, dict[str, Any]]:
    made = network(input_spec)
    facts = pretrained.start(SPEC.validate_python({**TINY, "pretrained": source, **model}), made, None, input_spec)
    assert facts is not None
    return made, facts


def statistics(made: nn.Module) -> tuple[list[float], list[float]]:
    layer = made.get_submodule("standardise")
    mean, std = (pytest.approx(layer.get_buffer(name).tolist()) for name in ("mean", "std"))
    return mean, std


def test_the_image_processor_of_the_hub_is_read(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (weights.parent / "preprocessor_config.json").write_text(json.dumps(STATED))
    made, facts = started(images())
    assert statistics(made) == (STATED["image_mean"], STATED["image_std"])
    assert "preprocessor_config.json" in facts["normalisation"]
    said = capsys.readouterr().err
    assert "images of 224x224, the dataset has 16x16" in said
    assert "as the weights were, not by mean [0.2, 0.2, 0.2]" in said
    kept, facts = started(images("dataset"))
    assert statistics(kept) == ([0.2] * 3, [0.25] * 3)
    assert "the train split" in facts["normalisation"]
    with pytest.raises(UsageError, match="normalised in another way") as caught:
        started(images("stated"))
    assert "input.normalise" in str(caught.value.next_step)
    same, _ = started(ImageInput(**{**images("stated").model_dump(), "mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}))
    assert statistics(same) == (STATED["image_mean"], STATED["image_std"])


@pytest.mark.parametrize(
    ("document", "mean", "std"),
    [
        ({"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "rescale_factor": 1 / 127.5}, 0.0, 0.5),
        ({"do_normalize": False}, 0.0, 1.0),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3}, 0.5, 0.2),
    ],
)
def test_other_forms_of_the_image_processor(weights: Path, document: object, mean: float, std: float) -> None:
    (weights.parent / "preprocessor_config.json").write_text(json.dumps(document))
    assert statistics(started(images())[0]) == ([mean] * 3, [std] * 3)


@pytest.mark.parametrize("content", ["{", "[]", '{"image_mean": 3, "image_std": [1]}'])
def test_a_damaged_image_processor_is_refused(weights: Path, content: str) -> None:
    (weights.parent / "preprocessor_config.json").write_text(content)
    with pytest.raises(CorruptArtifactError, match="the image processor"):
        started(images())


def test_weights_that_do_not_say_it_get_the_datasets_and_it_is_said(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = started(images())
    assert statistics(made) == ([0.2] * 3, [0.25] * 3)
    assert "do not say how images were normalised" in (said := capsys.readouterr().err)
    assert "input.normalise: imagenet" in said


def test_our_own_weights_bring_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ours.safetensors"
    state = network(images(mean=0.7)).state_dict()
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    made, facts = started(images(), f"file:{path}", pretrained_sha256=digest.of_file(path))
    assert statistics(made) == ([0.7] * 3, [0.25] * 3)
    assert "(the weights)" in facts["normalisation"]
    assert "as the weights were" in capsys.readouterr().err


def test_a_vit_says_the_size_of_its_weights(tmp_path: Path) -> None:
    model = {"family": "transformer", "name": "vit", "width": 12, "depth": 1, "patch": 4}
    large = {name: value.contiguous() for name, value in network(images(size=32), model).state_dict().items()}
    with pytest.raises(UsageError, match="images of another size") as caught:
        pretrained.fit(network(images(), model), large, "hub:x")
    assert "32x32" in str(caught.value.got)
    assert "input.height" in str(caught.value.next_step)
