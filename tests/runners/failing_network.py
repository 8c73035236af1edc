"""A network that cannot be built in the second process of a training."""

from __future__ import annotations

import os
from typing import Any

from torch import nn


def build(input_spec: Any, output_spec: Any) -> nn.Module:
    """A linear layer; an error of its author in rank 1."""
    if os.environ.get("RANK") == "1":
        raise LookupError("no weights for the second process")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
