"""What every network for translation is asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.contracts.shapes import TextOutput, TokensInput
from tests.models.export import Graph, Method

GIVEN = TokensInput(vocabulary=30, max_length=12)
WANTED = TextOutput(vocabulary=20, max_length=9, begin=1, end=2)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Source (4, 12) padded with zeros, its lengths, target (4, 9)."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([5, 12, 1, 7])
    source = torch.randint(3, 30, (4, 12), generator=generator) * (torch.arange(12) < lengths[:, None])
    return source, lengths, torch.randint(3, 20, (4, 9), generator=generator)


def padding_changes_nothing(network: nn.Module) -> None:
    """Of the source, in `forward`, `encode` and `decode`; and what comes later in the target."""
    network.eval()
    source, lengths, target = batch()
    with torch.inference_mode():
        together, memory = network(source, lengths, target), network.encode(source, lengths)  # type: ignore[operator]
        for row, length in enumerate(lengths):
            one = (source[row : row + 1, :length], lengths[row : row + 1])
            torch.testing.assert_close(network(*one, target[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-5)
            alone = network.encode(*one)  # type: ignore[operator]
            torch.testing.assert_close(alone[0], memory[row, :length], atol=1e-5, rtol=1e-5)
        for steps in (1, 4, 9):
            following = network.decode(memory, lengths, target[:, :steps])  # type: ignore[operator]
            torch.testing.assert_close(following, together[:, steps - 1], atol=1e-5, rtol=1e-5)
        filled = torch.where(torch.arange(12) < lengths[:, None], source, torch.full_like(source, 7))
        torch.testing.assert_close(network(filled, lengths, target), together, atol=1e-5, rtol=1e-5)


def graphs_agree(network: nn.Module) -> None:
    """The graphs `encoder` and `decoder`, exported from one short example, asked with others."""
    source, lengths, target = batch()
    example = {"source": source[:1, :3], "source_lengths": torch.tensor([3])}
    axes = {"source": (0, 1), "source_lengths": (0,), "memory": (0, 1), "target": (0, 1)}
    encoder = Graph(Method(network, "encode"), example, {name: axes[name] for name in example}, (0, 1))
    encoder.agrees(source, lengths)
    encoder.agrees(source[1:3], lengths[1:3])
    with torch.no_grad():
        memory = network.encode(source, lengths)  # type: ignore[operator]
    example = {"memory": memory[1:2, :3], "source_lengths": torch.tensor([3]), "target": target[:1, :2]}
    decoder = Graph(Method(network, "decode"), example, {name: axes[name] for name in example})
    for steps in (1, 2, 9):
        decoder.agrees(memory, lengths, target[:, :steps])
    decoder.agrees(memory[:1, :5], lengths[:1], target[:1, :4])


def learns_to_turn_texts_round(network: nn.Module, rate: float, steps: int = 150) -> None:
    """Three tokens, backwards: the last steps' loss is small."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.train().parameters(), lr=rate)
    for _ in range(steps):
        source = torch.randint(3, 8, (32, 3))
        target = torch.cat([torch.ones(32, 1, dtype=torch.int64), source.flip(1)], dim=1)
        logits = network(source, torch.full((32,), 3), target[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
