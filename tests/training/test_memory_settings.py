"""Gradient checkpointing and prefetching: the same training, in less memory or beside the preparation of batches."""

import threading

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput, TokensInput
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.models.build import build
from components.training.activation_checkpointing import checkpoint_blocks
from components.training.prefetch import batches, choose_prefetch
from components.training.prepared import Prepared, open_prepared
from tests.training.prepared_digits import prepare
from tests.training.test_loop import _fit, _same

TEXT = TokensInput(vocabulary=9, max_length=8)
IMAGES = ImageInput(height=16, width=16, channels=3, mean=[0.5] * 3, std=[1.0] * 3)
CLASSES = ClassesOutput(classes=2)
NETWORKS = {  # family, sizes, input, number of blocks
    "encoder": ("transformer", {"depth": 2, "width": 8, "heads": 2, "dropout": 0.2}, TEXT, 2),
    "bert": ("transformer", {"depth": 2, "width": 8, "heads": 2, "inner": 8, "positions": 9}, TEXT, 2),
    "vit": ("transformer", {"depth": 2, "width": 12}, IMAGES, 2),
    "resnet": ("cnn", {"depth": 8, "width": 4}, IMAGES, 3),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return open_prepared(folder, prepare(folder).digest)


def _inputs(network_name: str) -> tuple[torch.Tensor, ...]:
    if NETWORKS[network_name][2] is TEXT:
        return torch.randint(1, 9, (4, 8)), torch.tensor([8, 5, 3, 8])
    return (torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8),)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_checkpointed_blocks_give_the_same_gradients_and_statistics(name: str) -> None:
    """With dropout and batch normalisation, in two steps: draws are repeated, statistics are updated once."""
    family, sizes, input_spec, count = NETWORKS[name]
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    spec = adapter.validate_python({"family": family, "name": name, **sizes})
    torch.manual_seed(0)
    plain = build(spec, input_spec, CLASSES)
    checkpointed = build(spec, input_spec, CLASSES)
    checkpointed.load_state_dict(plain.state_dict())
    assert len(checkpoint_blocks(checkpointed)) == count
    inputs = _inputs(name)
    for network in (plain, checkpointed):
        torch.manual_seed(5)
        network.train()
        for _ in range(2):
            network(*inputs).square().mean().backward()
        network.eval()
    assert torch.equal(torch.get_rng_state(), torch.get_rng_state())
    for (key, mine), theirs in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert mine.grad is None or torch.equal(mine.grad, theirs.grad), key  # type: ignore[arg-type]
    assert _same(dict(plain.state_dict()), dict(checkpointed.state_dict()))


def test_blocks_are_computed_again() -> None:
    calls = 0

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return self.inner(features).relu()

    network = nn.Sequential(nn.Sequential(Block(), Block()), nn.Linear(3, 1))
    assert checkpoint_blocks(network) == ["0.0", "0.1"]
    network(torch.randn(2, 3)).sum().backward()
    assert calls == 4
    with torch.no_grad():
        network(torch.randn(2, 3))
    assert calls == 6


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="no blocks") as caught:
        checkpoint_blocks(nn.GRU(2, 3))
    assert caught.value.where == "train.gradient_checkpointing"


@pytest.mark.slow
def test_prefetched_batches_are_learnt_bit_for_bit(data: Prepared) -> None:
    settings = {"epochs": 2, "augment": {"flip": True, "rotate_degrees": 9.0}}
    on, _ = _fit(TrainSpec.model_validate({**settings, "prefetch": "always"}), data)
    off, _ = _fit(TrainSpec.model_validate({**settings, "prefetch": "never"}), data)
    assert _same(on.weights(), off.weights())
    assert on.history == off.history


def test_the_next_batch_is_prepared_beside_the_present_one() -> None:
    prepared: list[tuple[int, str]] = []
    second = threading.Event()

    def make(number: int) -> dict[str, torch.Tensor]:
        prepared.append((number, threading.current_thread().name))
        if number == 1:
            second.set()
        return {"a": torch.tensor([number])}

    found = []
    for batch in batches(make, range(4), torch.device("cpu"), prefetch=True):
        assert second.wait(5)  # the second one is made while the first one is in use
        found.append(int(batch["a"]))
    assert found == [0, 1, 2, 3]
    assert {name.partition("_")[0] for _, name in prepared} == {"prefetch"}
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())


def test_an_error_in_the_preparation_is_the_loops() -> None:
    def make(number: int) -> dict[str, torch.Tensor]:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        list(batches(make, range(3), torch.device("cpu"), prefetch=True))


def test_auto_prefetches_where_it_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert not choose_prefetch("auto", cpu)
    assert choose_prefetch("always", cpu)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert choose_prefetch("auto", cpu)
    assert not choose_prefetch("never", torch.device("cuda"))
    assert choose_prefetch("auto", torch.device("cuda"))
