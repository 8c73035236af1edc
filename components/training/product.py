"""The result of a training: the parts of the model package, sealed as kind `trained`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from torch import Tensor, nn

from components.contracts.architectures.custom import CustomSpec
from components.contracts.training_request import TrainRequest
from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import manifest, user_source
from components.identity.package import GoldenExample
from components.inference import body
from components.training import hub_config
from components.training.calibration import calibrate
from components.training.export import export
from components.training.graphs.graph import Graph, build_graphs, runner
from components.training.messages import log
from components.training.prepared import Prepared

if TYPE_CHECKING:
    from components.core.strict import Strict
    from components.tasks.task import Arrays, Prediction

MAX_PIXELS = 1_000_000_000  # golden examples are samples of the dataset, within its own limit


def finished_parts(folder: Path, train_fingerprint: str) -> manifest.Manifest | None:
    """The sealed parts of a training with this fingerprint, if there are any and every byte is valid."""
    try:
        sealed = manifest.verify(folder, "trained")
    except NotFoundError:
        return None
    except CorruptArtifactError as error:
        log(f"the trained parts are damaged and will be made again: {error.what} ({error.where})")
        return None
    return sealed if sealed.facts.get("train_fingerprint") == train_fingerprint else None


def write_parts(
    folder: Path,
    request: TrainRequest,
    prepared: Prepared,
    network: nn.Module,
    history: list[dict[str, float]],
    kept: int,
    pretrained: dict[str, Any] | None = None,
) -> manifest.Manifest:
    """Write and seal all parts atomically.

    Args:
        network: on the CPU, with the weights to keep.
        history: one row of figures for each epoch.
        kept: the epoch whose weights are kept, counted from 1.
        pretrained: facts of the pretrained weights (`pretrained.start`).

    Raises:
        TrainingError: an exported graph differs from the network.
    """
    graphs = build_graphs(network, prepared.processor)
    calibration = calibrate(request.train, network, graphs, prepared)
    prepared = _completed(prepared, graphs)
    with atomic.folder(folder) as fresh:
        shutil.copytree(prepared.folder / "golden", fresh / "golden")
        signature = export(graphs, prepared.validation, fresh, prepared.classes)
        golden = golden_answers(fresh / "golden", prepared, graphs)
        document = {"classes": prepared.classes, "examples": [one.model_dump(mode="json") for one in golden]}
        _write(fresh / "golden" / "outputs.json", document)
        (fresh / "model.safetensors").write_bytes(safetensors.torch.save(_weights(network)))
        _write(fresh / "model.json", request.model.model_dump(mode="json"))
        _write(fresh / "signature.json", signature.model_dump(mode="json"))
        _write(fresh / "history.json", {"kept_epoch": kept, "epochs": history})
        prepared.processor.save(fresh)
        specs = prepared.processor.input_spec(), prepared.processor.output_spec()
        hub_config.write(fresh, network, *specs, prepared.classes)
        hub_config.write_beside(fresh, network, prepared.processor)
        facts: dict[str, Any] = {
            "train_fingerprint": request.train_fingerprint,
            "data_digest": request.data_digest,
            "kept_epoch": kept,
            "epochs": len(history),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "lineage": _lineage(request, pretrained),
            **({"calibration": calibration.model_dump(mode="json")} if calibration.samples else {}),
        }
        if request.train.samples is not None:  # whole groups may be fewer than the pipeline asks for
            facts["samples"] = len(prepared.train)
        return manifest.seal(fresh, "trained", {**facts, **({"pretrained": pretrained} if pretrained else {})})


def _completed(prepared: Prepared, graphs: Sequence[Graph]) -> Prepared:
    """The dataset with its processor as it is after the training, if the processor chooses anything then."""
    complete = getattr(prepared.processor, "after_training", None)
    if complete is None:
        return prepared
    return prepared._replace(processor=complete(runner(graphs), prepared.validation))


def read_golden(folder: Path) -> list[GoldenExample]:
    """The golden examples of the parts in a folder, with the network's answers."""
    document = json.loads((folder / "golden" / "outputs.json").read_bytes())
    return [GoldenExample.model_validate(example) for example in document["examples"]]


def golden_answers(folder: Path, prepared: Prepared, made: Sequence[Graph]) -> list[GoldenExample]:
    """The answers of the network itself to the golden examples, through the task's processor."""
    processor = prepared.processor
    wire = processor.endpoint(prepared.classes)
    index = json.loads((folder / "index.json").read_bytes())
    requests: list[tuple[Arrays, Strict | None]] = []
    for entry in index:
        read = body.read(processor, wire, (folder / entry["file"]).read_bytes(), entry["media"])
        requests.append((processor.read(read.items[0], max_pixels=MAX_PIXELS), read.parameters))
    run = runner(list(made))
    answers: list[Prediction]
    if any(parameters is not None for _, parameters in requests):
        answers = [processor.answer(run, [sample], prepared.classes, own)[0] for sample, own in requests]
    else:
        answers = processor.answer(run, [sample for sample, _ in requests], prepared.classes, None)
    return [
        GoldenExample(file=entry["file"], media=entry["media"], truth=entry["truth"], answer=answer)
        for entry, answer in zip(index, answers, strict=True)
    ]


def _lineage(request: TrainRequest, pretrained: dict[str, Any] | None) -> dict[str, str]:
    """Inputs of the training besides the data, for the lineage of the package."""
    lineage: dict[str, str] = {}
    if pretrained:
        lineage |= {"pretrained": str(pretrained["source"]), "pretrained_digest": str(pretrained["sha256"])}
    if isinstance(request.model, CustomSpec):
        source, _ = user_source.own(request.model.factory.partition(":")[0], Path.cwd())
        lineage |= {"factory": request.model.factory, "factory_source": source.digest}
    return lineage


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights by name; of tied weights, the first name alone."""
    found: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in network.state_dict().items():
        if value.numel() and value.data_ptr() in places:
            continue
        places.add(value.data_ptr())
        found[name] = value.contiguous()
    return found


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
