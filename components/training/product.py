"""What a finished training leaves: the parts of the model package, sealed as kind `trained`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from components.contracts import atomic, manifest
from components.contracts.errors import CorruptArtifactError, NotFoundError
from components.contracts.package import GoldenExample
from components.contracts.training_request import TrainRequest
from components.training.export import export, signature
from components.training.prepared import Prepared
from components.training.voice import say


def standing(folder: Path, train_key: str) -> manifest.Manifest | None:
    """The parts that a training of this key left, if every byte of them is good."""
    try:
        sealed = manifest.verify(folder, "trained")
    except NotFoundError:
        return None
    except CorruptArtifactError as error:
        say(f"the trained parts are damaged and are made again: {error.what} ({error.where})")
        return None
    return sealed if sealed.facts.get("train_key") == train_key else None


def leave(
    folder: Path,
    request: TrainRequest,
    prepared: Prepared,
    network: nn.Module,
    history: list[dict[str, float]],
    kept: int,
) -> manifest.Manifest:
    """Write all parts at once.

    Args:
        network: on the CPU, with the weights to keep.
        history: one row of figures an epoch.
        kept: the epoch whose weights are kept, counted from 1.

    Raises:
        TrainingError: the exported graph does not say what the network says.
    """
    processor = prepared.processor
    with atomic.folder(folder) as fresh:
        shutil.copytree(prepared.folder / "golden", fresh / "golden")
        index = json.loads((fresh / "golden" / "index.json").read_bytes())
        contents = [(fresh / "golden" / entry["file"]).read_bytes() for entry in index]
        examples = torch.from_numpy(processor.batch(contents))  # uint8 (N, H, W, C)
        outputs = export(network, examples, fresh / "model.onnx")  # (N, K)
        (fresh / "model.safetensors").write_bytes(safetensors.torch.save(_weights(network)))
        golden = [
            GoldenExample(file=entry["file"], label=entry["label"], probabilities=row)
            for entry, row in zip(index, outputs.tolist(), strict=True)
        ]
        examples_and_order = {
            "classes": prepared.classes,
            "examples": [example.model_dump(mode="json") for example in golden],
        }
        _write(fresh / "golden" / "outputs.json", examples_and_order)
        _write(fresh / "model.json", request.model.model_dump(mode="json"))
        facts = manifest.load(prepared.folder, "prepared").facts
        _write(fresh / "processor.json", facts["processor"])
        shape = (processor.height, processor.width, processor.channels)
        _write(fresh / "signature.json", signature(shape, prepared.classes).model_dump(mode="json"))
        _write(fresh / "history.json", {"kept_epoch": kept, "epochs": history})
        return manifest.seal(
            fresh,
            "trained",
            {
                "train_key": request.train_key,
                "data_digest": request.data_digest,
                "kept_epoch": kept,
                "epochs": len(history),
            },
        )


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
