"""A package of a language model or a translator with random weights: with graphs that keep a state, and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from components.identity import manifest
from components.identity.package import Package
from components.models.build import build as build_network
from components.tasks.task import Processor
from components.training.export import export
from components.training.graphs.graph import build_graphs
from components.training.prepared import Prepared, open_prepared
from tests.training.prepared_task import prepare

SMALL = {"width": 32, "heads": 2, "depth": 2}
BPE = {"tokenizer": {"kind": "bpe", "vocabulary": 320}, "max_length": 32}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "decoder": ("text-generation", {"family": "transformer", "name": "decoder", **SMALL}),
    "mamba": ("text-generation", {"family": "state-space", "name": "mamba", "width": 32, "depth": 2}),
    "seq2seq": ("translation", {"family": "transformer", "name": "seq2seq-transformer", **SMALL, "shared": True}),
    "gru": ("translation", {"family": "rnn", "name": "seq2seq-gru", "width": 32, "embedding": 16, "shared": True}),
}  # fmt: skip


def prepared(folder: Path, task: str, settings: dict[str, Any] = BPE) -> Prepared:
    """A small prepared dataset."""
    return open_prepared(folder, prepare(folder, task, settings, (64, 8, 8)))


def network(model: dict[str, Any], processor: Processor, scale: float = 4.0) -> torch.nn.Module:
    """A network with random weights, of which the largest logits are clear."""
    from pydantic import TypeAdapter

    from components.contracts.model_spec import ModelSpec

    torch.manual_seed(0)
    config: Any = TypeAdapter(ModelSpec).validate_python(model)
    made = build_network(config, processor.input_spec(), processor.output_spec())
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return made.eval()


def build(folder: Path, model: dict[str, Any], made: Prepared, *, state: bool = True) -> Package:
    """The sealed package in `folder`; without `state`, its graphs are those of earlier versions."""
    graphs = build_graphs(network(model, made.processor), made.processor)
    if not state:
        graphs = [graph.plain or graph for graph in graphs]
    folder.mkdir(parents=True)
    signature = export(graphs, made.validation, folder, made.classes)
    (folder / "signature.json").write_text(signature.model_dump_json())
    made.processor.save(folder)
    facts = {"pipeline": "small", "task": made.task.name, "train_fingerprint": "ab" * 32, "data_digest": "cd" * 32}
    manifest.seal(folder, "package", {**facts, "lineage": {}})
    return Package.open(folder)
