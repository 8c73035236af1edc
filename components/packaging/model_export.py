"""A model package in the form of other tools: Hugging Face's layout, ONNX graphs, or safetensors with our spec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import safetensors.numpy

from components import tasks
from components.contracts.shapes import ValuesOutput
from components.core import atomic
from components.core.errors import NotFoundError, UsageError
from components.identity.package import HUB_CONFIG, HUB_PROCESSOR, Package

Format = Literal["huggingface", "onnx", "safetensors"]
BODY = "body."  # of the names of transformers' weights in a network
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
BESIDE = ("signature.json", "processor.json", TOKENIZER, HUB_CONFIG, HUB_PROCESSOR, "model.json", "README.md")


def export(package: Package, kind: Format, target: Path) -> list[str]:
    """Write a package in another form into a new folder; returns the names of its files.

    Raises:
        UsageError: the folder has files, or the network has no form in transformers.
        NotFoundError: the package has no such part.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError("the folder has files", where=str(target), next_step="name a new folder")
    with atomic.folder(target) as fresh:
        if kind == "huggingface":
            _huggingface(package, fresh)
        else:
            graphs = [f"{name}.onnx" for name in package.signature().graphs]
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
            expected="model.name hub-encoder, causal-lm, resnet-imagenet, convnext or vit",
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
    safetensors.numpy.save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    if (package.folder / HUB_PROCESSOR).is_file():
        _copy(package, HUB_PROCESSOR, target)
    if (package.folder / TOKENIZER).is_file():
        _tokenizer(package, target, getattr(processor, "max_length", None))
    _copy(package, "README.md", target)


def _in_units(weights: dict[str, Any], output_spec: ValuesOutput) -> dict[str, Any]:
    """The last layer with the target's own mean and deviation in it: transformers gives what it computes."""
    name = next(
        name for name, value in weights.items() if name.startswith("classifier") and value.ndim == 2 and len(value) == 1
    )
    bias = f"{name.removesuffix('weight')}bias"
    return {name: weights[name] * output_spec.std, bias: weights[bias] * output_spec.std + output_spec.mean}


def _tokenizer(package: Package, target: Path, max_length: int | None) -> None:
    """tokenizer.json and tokenizer_config.json as transformers reads them; texts are cut where the model's are."""
    document = json.loads((package.folder / TOKENIZER).read_bytes())
    config = document.get("pretrained", {"tokenizer_class": "PreTrainedTokenizerFast"})
    if max_length is not None:
        config = {**config, "model_max_length": max_length}
    _write(target / TOKENIZER, document.get("tokenizer", document))
    _write(target / "tokenizer_config.json", config)


def _copy(package: Package, name: str, target: Path) -> None:
    path = package.folder / name
    if not path.is_file():
        raise NotFoundError("the package has no such part", where=str(package.folder), got=name)
    shutil.copyfile(path, target / name)


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
