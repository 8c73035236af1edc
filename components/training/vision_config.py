"""The config.json of pretrained weights of transformers beside the network that they are loaded into.

Some settings change the outputs and no weight's shape: the number of heads, the activation, the epsilon of a
normalisation. Weights would load without a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from components.core.errors import CorruptArtifactError, UsageError

FILE_NAME = "config.json"
COMPARED = (
    "depths", "hidden_sizes", "embedding_size", "layer_type", "downsample_in_first_stage", "downsample_in_bottleneck",
    "num_stages", "patch_size", "hidden_act", "layer_norm_eps", "num_hidden_layers", "hidden_size",
    "num_attention_heads", "intermediate_size", "qkv_bias",
)  # fmt: skip
OURS = {  # the settings of `model:` that have these names in transformers
    "num_attention_heads": "heads", "num_hidden_layers": "depth", "hidden_size": "width", "intermediate_size": "inner",
    "patch_size": "patch", "hidden_sizes": "widths", "depths": "depths",
}  # fmt: skip


def check(network: nn.Module, config: Path | None, where: str) -> None:
    """Compare config.json with the config of a network's `body`, a classifier of transformers; others are not compared.

    Raises:
        UsageError: a setting that changes the outputs differs.
        CorruptArtifactError: the file cannot be read.
    """
    own = getattr(getattr(network, "body", None), "config", None)
    if config is None or own is None:
        return
    document = _read(config)
    if document.get("model_type") != own.model_type:
        return  # the names of the weights decide whether they fit
    their = type(own).from_dict(document)
    differing = [name for name in COMPARED if _value(own, name) != _value(their, name)]
    if differing:
        settable = [f"model.{OURS[name]}" for name in differing if name in OURS]
        raise UsageError(
            "the pretrained weights are of a network with other settings",
            where=where,
            got=", ".join(f"{name} {_value(own, name)}" for name in differing),
            expected=", ".join(f"{name} {_value(their, name)}" for name in differing),
            next_step=f"correct {', '.join(settable)}" if settable else "choose other weights",
        )


def _value(config: Any, name: str) -> Any:
    value = getattr(config, name, None)
    return list(value) if isinstance(value, tuple) else value


def _read(config: Path) -> dict[str, Any]:
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError("the config of the weights cannot be read", where=str(config), got=error) from error
    if not isinstance(document, dict):
        raise CorruptArtifactError("the config of the weights is no mapping", where=str(config), got=type(document))
    return document
