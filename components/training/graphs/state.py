"""Inputs and outputs of a graph for the state of its network."""

from __future__ import annotations

from collections.abc import Sequence

from components.identity.package import BATCH, TensorSpec
from components.models.incremental import StateSpec

NEXT = "next_"  # before the name of a state: the state after the tokens of this run


def state_specs(states: Sequence[StateSpec]) -> list[TensorSpec]:
    """The inputs of a state."""
    return [
        TensorSpec.model_validate({"name": state.name, "type": state.type, "shape": [BATCH, *state.shape]})
        for state in states
    ]


def next_names(states: Sequence[TensorSpec]) -> dict[str, str]:
    """The output that is the next value of each state."""
    return {spec.name: NEXT + spec.name for spec in states}


def next_shapes(states: Sequence[TensorSpec]) -> dict[str, list[str | None]]:
    """The outputs of a state. A free size of theirs is larger than that of the input, and has another name."""
    return {
        NEXT + spec.name: [
            None if isinstance(size, int) else size if size == BATCH else NEXT + size for size in spec.shape
        ]
        for spec in states
    }
