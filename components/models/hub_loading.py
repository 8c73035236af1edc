"""Loading of pretrained weights by transformers itself, for networks that wrap one of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from transformers import PretrainedConfig

from components.models.hub_encoder import HubEncoder, Loaded


class LoadsFromHub:
    """The hook of `training.pretrained` for a folder in Hugging Face's layout.

    Attributes:
        auto: transformers' class that `from_pretrained` is called of.
        body: the network of this class.
        hf_config: its config.
        head_names: names of the modules of the head, whose weights may have other shapes.
    """

    auto: Any
    body: Any
    hf_config: PretrainedConfig
    head_names: Sequence[str]

    def load_pretrained(self, folder: Path) -> Loaded:
        """See `HubEncoder.load_pretrained`: shards, and names of earlier versions."""
        return HubEncoder.load_pretrained(cast(HubEncoder, self), folder)
