"""Packed conversations: none is cut or lost, rows are filled, and the loss is that of the conversations alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import TokensInput
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.models.causal_lm import CausalLm
from components.training.batches import on_device
from components.training.conversations import PackedConversations, best_fit
from components.training.objectives.answers import AnswerObjective
from tests.evaluation.stub_package import stored

SPECS = [
    ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=0),
    ArraySpec(name="answers", type="uint8", shape=(), layout="ragged"),
]


def samples(count: int = 40) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        size = int(rng.integers(2, 17))
        answers = np.zeros(size, np.uint8)
        answers[rng.integers(1, size) :] = 1
        found.append({"tokens": rng.integers(1, 30, size), "answers": answers})
    return found


def test_rows_have_every_sample_once_and_are_full() -> None:
    sizes = np.random.default_rng(0).integers(1, 65, 500)
    rows = best_fit(sizes, 64)
    assert sorted(np.concatenate(rows).tolist()) == list(range(500))
    assert max(int(sizes[row].sum()) for row in rows) <= 64
    assert len(rows) <= np.ceil(sizes.sum() / 64) * 1.1
    assert [row.tolist() for row in best_fit(np.asarray([5, 5, 3, 2, 5]), 8)] == [[0, 2], [1, 3], [4]]


def test_a_row_has_its_conversations_one_after_the_other(tmp_path: Path) -> None:
    made = samples()
    packed = PackedConversations(stored(tmp_path / "train", SPECS, made), 16)
    assert len(packed) < len(made)
    batch = packed.batch(np.arange(len(packed)))
    seen = []
    for row, (tokens, answers, segments) in enumerate(
        zip(batch["tokens"], batch["answers"], batch["segments"], strict=True)
    ):
        assert (segments[packed.lengths("tokens")[row] :] == -1).all()
        for place, number in enumerate(packed.rows[row].tolist()):
            inside = segments == place
            assert tokens[inside].tolist() == made[number]["tokens"].tolist()
            assert answers[inside].tolist() == made[number]["answers"].tolist()
            seen.append(number)
    assert sorted(seen) == list(range(len(made)))


class Setting:
    """What the objective reads of a prepared dataset."""

    packing = False

    @property
    def processor(self) -> Any:
        return self

    def input_spec(self) -> TokensInput:
        return TokensInput(vocabulary=30, max_length=16)


def network() -> CausalLm:
    from transformers import AutoConfig

    torch.manual_seed(0)
    return CausalLm(AutoConfig.for_model("gpt2", vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=16)).eval()


def test_the_loss_is_that_of_the_answers_packed_or_not(tmp_path: Path) -> None:
    made, own = samples(), network()
    split = stored(tmp_path / "train", SPECS, made)
    objective: Any = AnswerObjective(TrainSpec(epochs=1, batch_size=2, learning_rate=0.1), Setting())  # type: ignore[arg-type]  # what it reads
    generator = torch.Generator()
    total, count = 0.0, 0
    for one in made:  # text by text, token by token
        tokens = torch.from_numpy(one["tokens"])[None]
        with torch.no_grad():
            logs = own(tokens, torch.tensor([tokens.shape[1]])).log_softmax(dim=-1)[0]
        for place in np.flatnonzero(one["answers"]).tolist():
            total -= float(logs[place - 1, tokens[0, place]])
            count += 1
    packed = PackedConversations(split, 16)
    for chosen in (split, packed):
        batch = on_device(chosen.batch(np.arange(len(chosen))), torch.device("cpu"))
        with torch.no_grad():
            step = objective.step(own, batch, generator, training=False)
        assert int(step.count) == count
        assert float(step.loss) == pytest.approx(total / count, abs=1e-5)


def test_a_network_that_does_not_keep_conversations_apart_is_refused(tmp_path: Path) -> None:
    packed = PackedConversations(stored(tmp_path / "train", SPECS, samples()), 16)
    objective: Any = AnswerObjective(TrainSpec(epochs=1, batch_size=2, learning_rate=0.1), Setting())  # type: ignore[arg-type]  # what it reads
    batch = on_device(packed.batch(np.arange(2)), torch.device("cpu"))
    with pytest.raises(UsageError, match="does not keep packed conversations apart"):
        objective.step(nn.Identity(), batch, torch.Generator(), training=True)
