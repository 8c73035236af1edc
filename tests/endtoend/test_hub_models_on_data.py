"""`modelyard run` of small models in the layout of the hub on rows of real data: texts, images and sounds."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from components.identity.package import Package
from components.inference.predictor import Predictor
from tests import hub_generators, hub_speech
from tests.house import House

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("MODELYARD_MIRROR", "/nowhere"))
TRAIN = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "threads": 1, "schedule": "constant"}
SPLIT = {"validation": 0.2, "test": 0.2, "seed": 0}


def _extract(archive: str, target: Path, wanted: Callable[[str], bool]) -> Path:
    """Some files of an archive of the mirror, without its outermost folder."""
    if not (DATA / archive).is_file():
        pytest.skip(f"no {archive} below MODELYARD_MIRROR")
    with tarfile.open(DATA / archive) as opened:
        for member in opened:
            name = member.name.partition("/")[2]
            if member.isfile() and wanted(name):
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                content = opened.extractfile(member)
                assert content is not None
                path.write_bytes(content.read())
    return target


def translation(house: House, mirror: Path) -> dict[str, Any]:
    """Captions of Multi30k, a T5."""
    import gzip

    hub_generators.translator(mirror / "tiny" / "t5", "t5")
    raw = _extract("multi30k/multi30k_task1_raw.tar.gz", mirror / "raw", lambda name: "/val." in name)
    folder = house.root / "captions"
    folder.mkdir()
    for path in raw.rglob("val.*.gz"):
        language = path.name.split(".")[1]
        if language in ("en", "de"):
            lines = gzip.decompress(path.read_bytes()).decode().splitlines()[:40]
            (folder / f"all.{language}").write_text("\n".join(lines) + "\n")
    layout = {"kind": "pairs", "source": {"": "all.en"}, "target": {"": "all.de"}}
    source = {"kind": "folder", "path": "../../captions", "layout": layout}
    settings = {"max_length": 64, "source_prefix": "translate English to German: "}
    model = {"name": "seq2seq-lm", "pretrained": "hub:tiny/t5"}
    return {"task": "translation", "source": source, "input": settings, "model": model}


def detection(house: House, mirror: Path) -> dict[str, Any]:
    """Blood cells, a DETR."""
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    torch.manual_seed(0)
    place = mirror / "tiny" / "detr"
    DetrForObjectDetection(DetrConfig(backbone_config=backbone, num_queries=20, **sizes, **heads)).save_pretrained(
        place
    )
    levels = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    processor = {"do_rescale": True, "do_normalize": True, "image_processor_type": "DetrImageProcessor", **levels}
    (place / "preprocessor_config.json").write_text(json.dumps(processor))
    few = [f"BloodImage_{number:05d}" for number in range(24)]
    raw = _extract("bccd/bccd.tar.gz", house.root / "cells", lambda name: Path(name).stem in few)
    assert len(list(raw.rglob("*.jpg"))) == 24
    layout = {"kind": "voc", "root": "BCCD"}
    return {
        "task": "object-detection", "source": {"kind": "folder", "path": "../../cells", "layout": layout},
        # Smaller than the weights' own image processor makes them, which is stated.
        "input": {"height": 96, "width": 128, "channels": 3, "processor": "dataset"},
        "model": {"name": "detr", "pretrained": "hub:tiny/detr"},
    }  # fmt: skip


def _digits(house: House) -> dict[str, Any]:
    folder = house.root / "sounds"
    if not folder.is_dir():
        _extract(
            "fsdd/fsdd.tar.gz", folder, lambda name: name.endswith(("_george_7.wav", "_jackson_7.wav", "_theo_7.wav"))
        )
    texts = {str(number): word for number, word in enumerate(hub_speech.DIGITS)}
    layout = {"kind": "wav", "root": "recordings", "pattern": "{label}_{speaker}_{index}.wav", "texts": texts}
    return {"kind": "folder", "path": "../../sounds", "layout": layout}


def sound(house: House, mirror: Path) -> dict[str, Any]:
    """Spoken digits, a wav2vec 2.0."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    place = mirror / "tiny" / "wav2vec2"
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=[8, 8, 8],
        conv_kernel=[10, 8, 4], conv_stride=[10, 8, 4], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    Wav2Vec2ForSequenceClassification(config).save_pretrained(place)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(place)
    source = _digits(house)
    del source["layout"]["texts"]
    waves = {"features": "waveform", "rate": 16000, "max_seconds": 1.5}
    return {
        "task": "sound-classification", "source": source, "input": waves,
        "model": {"name": "wav2vec2", "pretrained": "hub:tiny/wav2vec2"},
    }  # fmt: skip


def speech(house: House, mirror: Path) -> dict[str, Any]:
    """Spoken digits as words, a Whisper."""
    hub_speech.whisper(mirror / "tiny" / "whisper")
    return {
        "task": "speech-recognition", "source": _digits(house), "input": {"language": "en", "max_length": 24},
        "model": {"name": "whisper", "pretrained": "hub:tiny/whisper"},
    }  # fmt: skip


@pytest.mark.long  # `make test` trains a BERT and a causal language model of the hub
@pytest.mark.parametrize("case", [translation, speech, detection, sound])
def test_a_model_of_the_hub_is_trained_and_registered(
    case: Callable[[House, Path], dict[str, Any]], house: House, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    wanted = case(house, mirror)
    name = f"hub-{case.__name__}"
    if case in (translation, speech):
        wanted["input"]["tokenizer"] = {"kind": "pretrained", "source": wanted["model"]["pretrained"]}
    folder = house.root / "data" / name
    folder.mkdir()
    head = {"name": name, "task": wanted["task"], "title": "a few rows", "licence": "as of the whole"}
    dataset = {**head, "source": wanted["source"], "split": SPLIT, "input": wanted["input"]}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset, sort_keys=False))
    expectation = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "id"},
        "description": "ids are unique",
    }
    (folder / "expectations.json").write_text(json.dumps({"raw": [expectation], "prepared": [expectation]}))
    parameters = house.root / "params.yaml"
    listed = yaml.safe_load(parameters.read_text())
    parameters.write_text(yaml.safe_dump({**listed, "datasets": sorted([*listed["datasets"], name])}))
    model = {"family": "transformer", **wanted["model"]}
    pipeline = {"name": name, "task": wanted["task"], "dataset": name, "model": model, "train": TRAIN}
    house.project.pipeline_file(name).write_text(yaml.safe_dump({**pipeline, "gates": {"champion": None}}))

    settings = {"MODELYARD_MIRROR": str(mirror), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(mirror / "no-cache")}
    house.environment.update(settings)
    try:
        done = house.run("run", name, timeout=500)
    finally:
        for key in settings:
            house.environment.pop(key)
    assert "up to date" in done.stdout + done.stderr
    assert "weights loaded" in done.stderr
    packages = [Package.open(path.parent) for path in house.project.state.glob("packages/*/model.safetensors")]
    (package,) = [one for one in packages if one.facts.pipeline == name]
    predictor = Predictor(package)
    example = package.golden()[0]
    content = (package.folder / "golden" / example.file).read_bytes()
    (answer,) = predictor.answer(predictor.read([content]))
    assert predictor.task.agree(example.answer, answer)
    if case is speech:
        target = tmp_path / "exported"
        house.run("export", f"{name}@1", "--format", "huggingface", "--out", str(target))
        from transformers import WhisperForConditionalGeneration

        WhisperForConditionalGeneration.from_pretrained(target)
