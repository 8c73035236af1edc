"""Batches by length go on where they stopped, and a network whose answers depend on padding is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import Interrupted, TrainingError
from components.identity import manifest
from components.training import stage
from components.training.export import export
from components.training.graphs.graph import build_graphs
from components.training.interruption import StopSignals
from components.training.prepared import open_prepared
from components.training.sinks import EventStream
from tests.training.prepared_task import prepare
from tests.training.small_cases import CASES, request

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("case", "stop_after"), [("lstm", 1), ("lstm", 33), ("seq2seq", 20)])
def test_batches_by_length_go_on_bit_for_bit(
    case: str, stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 batches an epoch: in the first, at its end, in the second."""
    prepare(tmp_path / "prepared", *CASES[case][:2])
    steps = 0

    def asked(self: StopSignals) -> bool:
        nonlocal steps
        steps += 1
        return steps == stop_after

    through = request(tmp_path / "prepared", tmp_path / "through", case, epochs=2)
    stage.train(through, EventStream(io.StringIO()))
    broken = request(tmp_path / "prepared", tmp_path / "broken", case, epochs=2)
    with monkeypatch.context() as patched:
        patched.setattr(StopSignals, "received", asked)
        with pytest.raises(Interrupted):
            stage.train(broken, EventStream(io.StringIO()))
    torch.rand(17)
    np.random.rand(3)
    stage.train(broken, EventStream(io.StringIO()))
    found = [manifest.load(tmp_path / name / "trained", "trained").digest for name in ("through", "broken")]
    assert found[0] == found[1]


class _SeesPadding(torch.nn.Module):
    """The mean over all places of a batch, padding too: what must not be."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(vocabulary, 2)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.table(tokens).mean(dim=1)


def test_a_network_that_sees_padding_is_refused(tmp_path: Path) -> None:
    digest = prepare(tmp_path / "prepared", *CASES["lstm"][:2])
    prepared = open_prepared(tmp_path / "prepared", digest)
    torch.manual_seed(0)
    network = _SeesPadding(prepared.processor.input_spec().vocabulary)  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match="depend on padding"):
        export(build_graphs(network, prepared.processor), prepared.validation, tmp_path, prepared.classes)
