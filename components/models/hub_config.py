"""The config.json of a network of transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PretrainedConfig

from components.core.errors import CorruptArtifactError, UsageError
from components.identity import hub_folder


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


def set_dropout(hf_config: PretrainedConfig, names: Sequence[str], rate: float | None) -> None:
    """Give all dropouts of a config one rate; None leaves them as they are."""
    for name in names if rate is not None else ():
        if hasattr(hf_config, name):
            setattr(hf_config, name, rate)


def check_memory(auto: Any, hf_config: PretrainedConfig, source: str) -> None:
    """Refuse a network whose weights alone are more than this machine's memory, before they take any of it.

    Args:
        auto: transformers' class that the network is made by.

    Raises:
        UsageError: its float32 weights do not fit.
    """
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in auto.from_config(hf_config).parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * parameters > memory:
        raise UsageError(
            "the network is too large for the memory of this machine",
            where=f"model.config, {source}",
            got=f"{parameters:,} parameters, {4 * parameters / 1e9:,.0f} GB in float32",
            expected=f"less than {memory / 1e9:,.0f} GB",
            next_step="choose a smaller model, or train it on a larger machine",
        )
