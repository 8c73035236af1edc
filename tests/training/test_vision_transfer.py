"""The transfer pipelines of images: weights of the hub in the layouts of transformers and timm, from file to logits.

The weights are random and small, written by transformers itself; the pictures are scikit-learn's two photos.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.shapes import ImageFraming, ImageInput
from components.core import located_yaml
from components.core.errors import SourceError, UsageError
from components.identity import manifest
from components.models.build import build
from components.preprocessing import image
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.task import RawSample
from components.training import image_processor, pretrained, vision_config
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import request
from tests.training.prepared_task import prepare

ROOT = Path(__file__).parents[2]
SPEC: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
CONVNEXT_TYPE = {
    "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224,
}  # fmt: skip
VIT_TYPE = {
    "do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2,
    "size": {"height": 224, "width": 224}, "image_processor_type": "ViTImageProcessor",
}  # fmt: skip
TORCHVISION_TYPE = {
    "image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, "crop_size": 224, "resample": 2,
    "do_center_crop": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
}  # fmt: skip
TIMM_CONFIG = {
    "architecture": "vgg16", "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 224, 224], "interpolation": "bilinear", "crop_pct": 0.875, "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    },
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "vgg16": {"divide": 32},
    "resnet50": {"width": 4},
    "convnext": {"widths": [4, 8, 12, 16], "depths": [1, 1, 2, 1]},
    "vit": {"width": 12, "heads": 3, "depth": 2},
}


@functools.cache
def photo(name: str) -> Image.Image:
    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Image.open(Path(package.origin).parent / "datasets" / "images" / f"{name}.jpg").convert("RGB")


def samples(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Parts of the two photos, wide and high, as JPEG files."""
    found = []
    for place in range(count):
        name = ("china", "flower")[place % 2]
        width, height = rng.integers(90, 420, 2).tolist()
        left, top = int(rng.integers(0, 640 - width)), int(rng.integers(0, 427 - height))
        stream = io.BytesIO()
        photo(name).crop((left, top, left + width, top + height)).save(stream, "JPEG")
        found.append({"image": stream.getvalue(), "label": name})
    return found


def pipeline(name: str) -> tuple[ModelSpec, ImageClassificationSettings]:
    """The network of a pipeline with small sizes, and the settings of its dataset."""
    spec = located_yaml.read(ROOT / "pipelines" / f"{name}.yaml", PipelineSpec)
    dataset = located_yaml.read(ROOT / "data" / spec.dataset / "dataset.yaml", DatasetSpec)
    model = spec.model.model_dump(mode="json") | SMALL[name]
    return SPEC.validate_python(model), ImageClassificationSettings.model_validate(dataset.input)


class TimmVgg(nn.Module):
    """timm's VGG16 with narrow layers: its dense layers are convolutions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for count, width in zip((2, 2, 3, 3, 3), (2, 4, 8, 16, 16), strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pre_logits = nn.ModuleDict({"fc1": nn.Conv2d(16, 128, 7), "fc2": nn.Conv2d(128, 128, 1)})
        self.head = nn.ModuleDict({"fc": nn.Linear(128, classes)})
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.pre_logits["fc2"](self.pre_logits["fc1"](self.features(pixels)).relu()).relu()
        logits: Tensor = self.head["fc"](hidden.flatten(1))
        return logits


def publish(name: str, mirror: Path, classes: int = 2) -> Callable[[Tensor], Tensor]:
    """Put small weights under the pipeline's name of the hub into a mirror; the network that they belong to."""
    import transformers

    torch.manual_seed(0)
    spec, _ = pipeline(name)
    folder = mirror / str(spec.pretrained).removeprefix("hub:")
    if name == "vgg16":
        folder.mkdir(parents=True)
        vgg = TimmVgg(classes).eval()
        safetensors.torch.save_file(vgg.state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(TIMM_CONFIG))
        return vgg
    config, processor = {
        "resnet50": (
            transformers.ResNetConfig(
                embedding_size=4, hidden_sizes=[16, 32, 64, 128], depths=[3, 4, 6, 3], num_labels=classes
            ),
            CONVNEXT_TYPE,
        ),
        "convnext": (
            transformers.ConvNextConfig(hidden_sizes=[4, 8, 12, 16], depths=[1, 1, 2, 1], num_labels=classes),
            CONVNEXT_TYPE,
        ),
        "vit": (
            transformers.ViTConfig(
                hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48, num_labels=classes
            ),
            VIT_TYPE,
        ),
    }[name]
    network = transformers.AutoModelForImageClassification.from_config(config).eval()
    for layer in network.modules():  # of fresh running statistics a wrong order would not be seen
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return lambda pixels: network(pixels).logits  # type: ignore[no-any-return]


def their_pixels(name: str, mirror: Path, files: list[bytes]) -> Tensor:
    """What the weights' own image processor makes of picture files; for VGG torchvision's, as transformers has it."""
    from transformers import AutoImageProcessor

    if name == "vgg16":
        folder = mirror / "torchvision"
        folder.mkdir(exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(TORCHVISION_TYPE))
    else:
        folder = mirror / str(pipeline(name)[0].pretrained).removeprefix("hub:")
    processor = AutoImageProcessor.from_pretrained(str(folder), backend="pil")
    pictures = [Image.open(io.BytesIO(content)) for content in files]
    pixels: Tensor = processor(pictures, return_tensors="pt")["pixel_values"]
    return pixels


@pytest.mark.parametrize("name", SMALL)
def test_from_file_to_logits_as_transformers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    theirs = publish(name, tmp_path)
    spec, settings = pipeline(name)
    task: Any = tasks.find("image-classification")
    values = samples(4, np.random.default_rng(1))
    raws = [RawSample(sample, task.decode(sample, settings)) for sample in values]
    processor = task.fit(settings, iter(raws), ["china", "flower"])
    network = build(spec, processor.input_spec(), processor.output_spec())
    facts = pretrained.start(spec, network, None, processor.input_spec())
    assert facts is not None
    assert facts["left"] == []
    assert facts["new"] == ["standardise.mean", "standardise.std"]
    images = [processor.read(sample["image"], max_pixels=1_000_000)["images"] for sample in values]
    with torch.inference_mode():
        ours = network.eval()(torch.from_numpy(np.stack(images)))
        expected = theirs(their_pixels(name, tmp_path, [sample["image"] for sample in values]))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert expected.std(dim=0).max() > 1e-3  # the answers depend on the picture


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_pipeline_trains_from_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    publish(name, tmp_path, classes=7)
    spec, settings = pipeline(name)
    prepare(tmp_path / "prepared", "image-classification", settings.model_dump(), (8, 4, 4), samples)
    asked = request(tmp_path / "prepared", tmp_path / "run", model=spec.model_dump(mode="json"), epochs=1, batch_size=4)
    training.train(asked, EventStream(io.StringIO()))
    facts = manifest.load(tmp_path / "run" / "trained", "trained").facts["pretrained"]
    assert facts["source"] == spec.pretrained
    assert facts["fitted"] > 10
    assert {entry.split(".")[0] for entry in facts["new"]} <= {"standardise", "classifier", "body"}
    assert len(facts["new"]) == 4  # the head of two classes, and the statistics
    assert ("pretrained_cfg" if name == "vgg16" else "preprocessor_config.json") in facts["normalisation"]


def test_absent_weights_say_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in SMALL:
        source = str(pipeline(name)[0].pretrained)
        with pytest.raises(SourceError, match="cannot be fetched") as caught:
            pretrained.find(source)
        assert source.removeprefix("hub:") in str(caught.value.next_step)
        assert "$MODELYARD_MIRROR" in str(caught.value.next_step)


def input_spec(**framing: Any) -> ImageInput:
    own = {"height": 224, "width": 224} | {name: framing.pop(name) for name in ("height", "width") if name in framing}
    return ImageInput(**own, channels=3, mean=[0.5] * 3, std=[0.5] * 3, framing=ImageFraming(**framing))


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        (CONVNEXT_TYPE, {"resize": "crop", "shortest_edge": 256, "resample": "bicubic"}),
        ({**CONVNEXT_TYPE, "size": 384}, {"height": 384, "width": 384, "resample": "bicubic"}),
        (VIT_TYPE, {}),
        ({**VIT_TYPE, "resample": 3, "size": 96}, {"height": 96, "width": 96, "resample": "bicubic"}),
        (TORCHVISION_TYPE, {"resize": "crop", "shortest_edge": 256}),
        ({**TORCHVISION_TYPE, "size": {"shortest_edge": 224}}, {"resize": "crop", "shortest_edge": 224}),
    ],
)
def test_another_fitting_than_the_weights_is_refused_with_what_to_write(
    document: dict[str, Any], fits: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(document))
    image_processor.check(document, tmp_path, input_spec(**fits), "hub:x")
    for wrong in ({"height": 64, "width": 64}, {"resize": "crop"}, {"resample": "nearest"}):
        with pytest.raises(UsageError, match="fitted into their size in another way") as caught:
            image_processor.check(document, tmp_path, input_spec(**wrong), "hub:x")
        assert "processor: dataset" in str(caught.value.next_step)
        # What the error proposes is a dataset.yaml, and it is right.
        proposed = yaml.safe_load(str(caught.value.next_step).split("input: ")[1].split(" into")[0])
        settings = ImageClassificationSettings.model_validate(proposed)
        right = {"height": settings.height, "width": settings.width} | settings.framing().model_dump()
        image_processor.check(document, tmp_path, input_spec(**right), "hub:x")
        image_processor.check(document, tmp_path, input_spec(**wrong, stated=True), "hub:x")


def test_timms_fitting_is_refused_alike(tmp_path: Path) -> None:
    image_processor.check(TIMM_CONFIG, tmp_path, input_spec(resize="crop", shortest_edge=256), "hub:x")
    with pytest.raises(UsageError, match="another way") as caught:
        image_processor.check(TIMM_CONFIG, tmp_path, input_spec(), "hub:x")
    assert "shortest_edge: 256" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"num_attention_heads": 2}, "model.heads"), ({"hidden_act": "relu"}, "choose other weights"),
     ({"layer_norm_eps": 1e-5}, "choose other weights")],
)  # fmt: skip
def test_settings_that_no_shape_shows_are_compared(
    changed: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two heads instead of three every weight fits, and every answer is another."""
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    publish("vit", tmp_path)
    spec, _ = pipeline("vit")
    config = tmp_path / "google" / "vit-base-patch16-224" / "config.json"
    network = build(spec, input_spec(), tasks.find("image-classification").output_type(classes=2))  # type: ignore[call-arg]
    vision_config.check(network, config, "hub:x")
    config.write_text(json.dumps(json.loads(config.read_text()) | changed))
    with pytest.raises(UsageError, match="other settings") as caught:
        pretrained.start(spec, network, None, input_spec())
    assert words in str(caught.value.next_step)


def test_a_crop_of_a_resized_side() -> None:
    """The shorter side of a wide and of a high picture becomes `shortest_edge`, and the middle is kept."""
    for size in ((300, 200), (200, 300)):
        picture = Image.new("RGB", size)
        picture.paste((255, 255, 255), (size[0] // 2 - 40, size[1] // 2 - 40, size[0] // 2 + 40, size[1] // 2 + 40))
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        how = image.Decoding(resize="crop", shortest_edge=100)
        assert image.read(stream.getvalue(), 36, 36, 3, how).pixels.min() == 255  # 80 of 200 became 40 of 100
        assert image.read(stream.getvalue(), 60, 60, 3, how).pixels[0].max() == 0
