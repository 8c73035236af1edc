"""A GRU with additive attention to a memory at every step: Bahdanau et al. 2015, arXiv:1409.0473, sections 3.1 and A.

Legend: N batch, T steps, S memory, E size of a step, D width of the state, M width of the memory. A memory may have
several states, one after the other (R in all; R = N while training).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from components.models import masks

# Values (N, S, M), keys (N, S, D), and the mask of real positions, bool (N, S). TorchScript needs tuples.
Memory = tuple[Tensor, Tensor, Tensor]
# Of the attention: query (D, D), score (D,). Of the cell: context (3D, M), hidden (3D, D) and its bias (3D,).
Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class AttentiveGru(nn.Module):
    """The context of a step is the mean of the memory, weighted by softmax(v' tanh(W s + U m)); the cell takes both.

    Args:
        in_features: E.
        width: D.
        memory: M.
    """

    # Layers whose weights are read without a call: a LoRA adapter beside them would have no effect.
    uncalled_layers = ("query", "score")

    def __init__(self, in_features: int, width: int, memory: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(memory, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.cell = nn.GRUCell(in_features + memory, width)
        self.in_features = in_features

    def forward(self, steps: Tensor, state: Tensor, memory: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Steps (N, T, E), first state (N, D), memory (N, S, M), lengths (N,) to states (N, T, D), contexts."""
        attended = self._attended(memory, lengths)
        prepared, weights = self._prepared(steps, memory)
        states, contexts = [], []
        for step_gates in prepared.unbind(dim=1):
            state, context = step(step_gates, state, attended, weights)
            states.append(state)
            contexts.append(context)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1)

    def last(self, steps: Tensor, state: Tensor, memory: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Only the last state (N, D) and the last context (N, M); the exported graph loops over any number of steps."""
        return self.extend(steps, state, self._attended(memory, lengths))

    def extend(self, steps: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """As `last`, with the keys of the memory known; steps and state may have R rows."""
        prepared, weights = self._prepared(steps, memory[0])
        run = _scripted() if torch.onnx.is_in_onnx_export() else last
        return run(prepared, state, memory, weights)

    def _attended(self, memory: Tensor, lengths: Tensor) -> Memory:
        return memory, self.key(memory), masks.inside(lengths, memory.shape[1])

    def _prepared(self, steps: Tensor, memory: Tensor) -> tuple[Tensor, Weights]:
        """The cell's gates of all steps (N, T, 3D), which do not depend on the state, and the weights of a step."""
        sizes = [self.in_features, memory.shape[2]]
        from_step, from_context = torch.split(self.cell.weight_ih, sizes, dim=1)  # (3D, E), (3D, M)
        prepared = steps @ from_step.T + self.cell.bias_ih  # (N, T, 3D)
        score = self.score.weight[0]  # (D,)
        return prepared, (self.query.weight, score, from_context, self.cell.weight_hh, self.cell.bias_hh)


def step(step_gates: Tensor, state: Tensor, memory: Memory, weights: Weights) -> tuple[Tensor, Tensor]:
    """Gates of the step (R, 3D) and state (R, D) to the next state (R, D) and the context (R, M)."""
    values, keys, inside = memory
    query, score, from_context, from_state, bias = weights
    queries = (state @ query.t()).reshape(keys.shape[0], -1, 1, keys.shape[2])  # (N, R / N, 1, D)
    energy = torch.tanh(queries + keys[:, None])  # (N, R / N, S, D)
    scores = (energy @ score).masked_fill(~inside[:, None], -1e4)  # (N, R / N, S)
    context = torch.bmm(scores.softmax(2), values).reshape(-1, values.shape[2])  # (R, M)
    reset, update, new = (step_gates + context @ from_context.t()).chunk(3, 1)  # (N, D) each
    old_reset, old_update, old = (state @ from_state.t() + bias).chunk(3, 1)  # (N, D) each
    update = torch.sigmoid(update + old_update)
    candidate = torch.tanh(new + torch.sigmoid(reset + old_reset) * old)
    return candidate + update * (state - candidate), context


def last(prepared: Tensor, state: Tensor, memory: Memory, weights: Weights) -> tuple[Tensor, Tensor]:
    """Gates of all steps (R, T, 3D) to the last state (R, D) and the last context (R, M)."""
    context = torch.zeros([state.shape[0], memory[0].shape[2]])
    for index in range(prepared.shape[1]):
        state, context = step(prepared[:, index], state, memory, weights)
    return state, context


@functools.cache
def _scripted() -> Callable[[Tensor, Tensor, Memory, Weights], tuple[Tensor, Tensor]]:
    """`last` as TorchScript: the exporter keeps the loop instead of unrolling it for the length of its example."""
    with warnings.catch_warnings():
        # The TorchScript exporter has no other way to keep a loop; tests compare the graph at other lengths.
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated", category=DeprecationWarning)
        return torch.jit.script(last)
