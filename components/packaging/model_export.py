"""A model package in the form of other tools: Hugging Face's layout, ONNX graphs, or safetensors with our spec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy

from components import tasks
from components.contracts.shapes import ClassesOutput, ValuesOutput
from components.core import atomic, disk_space
from components.core.errors import NotFoundError, UsageError
from components.identity.package import HUB_CONFIG, HUB_GENERATION, HUB_PROCESSOR, Package

Format = Literal["huggingface", "onnx", "safetensors"]
BODY = "body."  # of the names of transformers' weights in a network
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
HUB_FILES = (HUB_CONFIG, HUB_PROCESSOR, HUB_GENERATION)
BESIDE = ("signature.json", "processor.json", TOKENIZER, *HUB_FILES, "model.json", "README.md")


def export(package: Package, kind: Format, target: Path) -> list[str]:
    """Write a package in another form into a new folder; returns the names of its files.

    Raises:
        UsageError: the folder has files or cannot be written, or the network has no form in transformers.
        NotFoundError: the package has no such part.
    """
    try:
        return _export(package, kind, target)
    except OSError as error:
        if disk_space.is_full(error):
            raise
        raise UsageError(
            "the folder cannot be written", where=str(error.filename or target), got=error.strerror,
            next_step="name another folder",
        ) from error  # fmt: skip


def _export(package: Package, kind: Format, target: Path) -> list[str]:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError("the folder has files", where=str(target), next_step="name a new folder")
    with atomic.folder(target) as fresh:
        if kind == "huggingface":
            _huggingface(package, fresh)
        else:
            graphs = [path.name for name in package.signature().graphs for path in package.graph_files(name)]
            for name in graphs if kind == "onnx" else [WEIGHTS]:
                _copy(package, name, fresh)
            for name in BESIDE:
                if (package.folder / name).is_file():
                    _copy(package, name, fresh)
        return sorted(path.name for path in fresh.iterdir())


def _huggingface(package: Package, target: Path) -> None:
    if not (package.folder / HUB_CONFIG).is_file():
        raise UsageError(
            "this network is none of transformers' classes",
            where=package.facts.pipeline,
            expected="model.name hub-encoder, causal-lm, whisper, resnet-imagenet, convnext or vit",
            next_step="--format onnx, for onnxruntime; or --format safetensors, the weights with model.json",
        )
    processor = tasks.find(package.facts.task).load(package.folder)
    config = json.loads((package.folder / HUB_CONFIG).read_bytes())
    config["modelyard"] = {"pipeline": package.facts.pipeline, "package": package.digest}
    _write(target / HUB_CONFIG, config)
    weights = {
        name.removeprefix(BODY): value
        for name, value in safetensors.numpy.load_file(package.folder / WEIGHTS).items()
        if name.startswith(BODY)
    }
    output_spec = processor.output_spec()
    if isinstance(output_spec, ValuesOutput):
        weights |= _in_units(weights, output_spec)
    if isinstance(output_spec, ClassesOutput):
        weights |= _of_both_classes(weights)
    calibration = package.facts.calibration
    if calibration is not None and calibration.kept:
        weights |= _calibrated(weights, calibration.temperature)
    safetensors.numpy.save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    for name in HUB_FILES[1:]:
        if (package.folder / name).is_file():
            _copy(package, name, target)
    if (package.folder / TOKENIZER).is_file():
        _tokenizer(package, target, getattr(processor, "max_length", None))
    _copy(package, "README.md", target)


def _in_units(weights: dict[str, Any], output_spec: ValuesOutput) -> dict[str, Any]:
    """The last layer with the target's own mean and deviation in it: transformers gives what it computes."""
    name, bias = _last_layer(weights)
    return {name: weights[name] * output_spec.std, bias: weights[bias] * output_spec.std + output_spec.mean}


def _of_both_classes(weights: dict[str, Any]) -> dict[str, Any]:
    """The last layer with a row for each of two classes where it has one, for the second (`head: sigmoid`)."""
    found = {name: weights[name] for name in _last_layer(weights) if name in weights}
    return {name: np.concatenate([np.zeros_like(value), value]) for name, value in found.items() if len(value) == 1}


def _calibrated(weights: dict[str, Any], temperature: float) -> dict[str, Any]:
    """The last layer divided by the temperature, so that the softmax of transformers' logits is what is served."""
    found = {name: weights[name] for name in _last_layer(weights) if name in weights}
    return {name: value / value.dtype.type(temperature) for name, value in found.items()}


def _last_layer(weights: dict[str, Any]) -> tuple[str, str]:
    """Names of weight and bias of the last dense layer of a classifier of transformers; the bias may be absent."""
    dense = [name for name, value in weights.items() if name.startswith("classifier") and value.ndim == 2]
    name = max(dense)  # classifier.weight; or the last of classifier.dense and classifier.out_proj, or of their numbers
    return name, f"{name.removesuffix('weight')}bias"


def _tokenizer(package: Package, target: Path, max_length: int | None) -> None:
    """tokenizer.json and tokenizer_config.json as transformers reads them; texts are cut where the model's are."""
    document = json.loads((package.folder / TOKENIZER).read_bytes())
    if "tokenizer" not in document and "target" in document:
        raise UsageError(
            "the tokenizers of source and target have no form in one tokenizer.json",
            where=package.facts.pipeline,
            next_step="--format safetensors, the weights with model.json; --format onnx, the graphs with tokenizers",
        )
    config = document.get("pretrained", {"tokenizer_class": "PreTrainedTokenizerFast"})
    if max_length is not None:
        config = {**config, "model_max_length": max_length}
    if isinstance(added := config.get("added_tokens_decoder"), dict):  # without the mark of transformers' class
        plain = {number: {k: v for k, v in one.items() if k != "__type"} for number, one in added.items()}
        config = {**config, "added_tokens_decoder": plain}
    _write(target / TOKENIZER, document.get("tokenizer", document))
    _write(target / "tokenizer_config.json", config)


def _copy(package: Package, name: str, target: Path) -> None:
    path = package.folder / name
    if not path.is_file():
        raise NotFoundError("the package has no such part", where=str(package.folder), got=name)
    shutil.copyfile(path, target / name)


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
