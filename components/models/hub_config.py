"""The config.json of a network of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PretrainedConfig

from components.core.errors import CorruptArtifactError, UsageError
from components.identity import hub_folder

MAX_PARAMETERS = 530_000_000  # of float32: protobuf's limit of 2**31 bytes, with room for the graph itself


def read(source: str, supported: Sequence[str]) -> PretrainedConfig:
    """transformers' config of a source `hub:`, `folder:` or `package:`.

    Args:
        supported: names of `model_type` that the caller can build.

    Raises:
        NotFoundError, SourceError: the config.json is missing.
        CorruptArtifactError: the config.json cannot be read.
        UsageError: its kind is not supported.
    """
    document = hub_folder.find(source, weights=False).document(hub_folder.CONFIG)
    kind = document.pop("model_type", None)
    if kind not in supported:
        raise UsageError(
            "this kind of network is not supported here",
            where=f"model.config, {source}",
            got=f"model_type {kind}",
            expected=", ".join(supported),
            next_step="choose weights of one of these kinds, or another model.name; `modelyard schema` lists them",
        )
    try:
        found: PretrainedConfig = AutoConfig.for_model(kind, **document)
    except (ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise CorruptArtifactError("the config cannot be read", where=source, got=error) from error
    return found


def check_size(auto: Any, hf_config: PretrainedConfig, source: str) -> None:
    """Refuse a network whose graph would not fit into one file, before its weights take any memory.

    Args:
        auto: transformers' class that the network is made by.

    Raises:
        UsageError: it has too many parameters.
    """
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in auto.from_config(hf_config).parameters())
    if parameters > MAX_PARAMETERS:
        raise UsageError(
            "the network is too large for the graph that is served, a file of at most 2 GB",
            where=f"model.config, {source}",
            got=f"{parameters:,} parameters",
            expected=f"at most {MAX_PARAMETERS:,}",
            next_step="choose a smaller model",
        )


def set_dropout(hf_config: PretrainedConfig, names: Sequence[str], rate: float | None) -> None:
    """Give all dropouts of a config one rate; None leaves them as they are."""
    for name in names if rate is not None else ():
        if hasattr(hf_config, name):
            setattr(hf_config, name, rate)
