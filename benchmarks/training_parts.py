"""What two parts of training on a CPU save: dropout with few random bits, and memory that is kept when it is freed.

Dropout: torch's against ours, forward and back, on the features of a batch, in turns. Memory: a chain of tensors as
large as a batch's logits, in processes of their own, with glibc's way and with ours, in turns.

    python -m benchmarks.training_parts [--rounds 5]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks import figure
from benchmarks.figure import Figure
from components.models.dropout import Dropout

NAME = "training_parts"
ROOT = Path(__file__).parents[1]
CHAIN = """
import sys, time, torch
from components.training.allocator import keep_freed_memory
if sys.argv[1] == "ours":
    keep_freed_memory()
torch.set_num_threads(1)
logits = torch.randn(1920, 5000)
def step():
    return (logits * 2 + 1).log_softmax(1).exp()
step()
begin = time.perf_counter()
for _ in range(20):
    step()
print(time.perf_counter() - begin)
"""


def measure(rounds: int = 5) -> list[Figure]:
    """Medians of the rounds' ratios: how many times as long it takes without."""
    torch.set_num_threads(1)
    features = torch.randn(128, 16, 128, requires_grad=True)

    def dropped(layer: nn.Module) -> float:
        begin = time.perf_counter()
        for _ in range(50):
            layer(features).sum().backward()
        return time.perf_counter() - begin

    def chained(way: str) -> float:
        words = [sys.executable, "-c", CHAIN, way]
        return float(subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout)

    layers = {"theirs": nn.Dropout(0.1), "ours": Dropout(0.1)}
    return [
        Figure(NAME, "dropout: torch's time over ours", _ratio(lambda way: dropped(layers[way]), rounds), "x"),
        Figure(NAME, "tensors of 38 MB: glibc's time over ours", _ratio(chained, rounds), "x"),
    ]


def _ratio(seconds: Callable[[str], float], rounds: int) -> float:
    ratios = []
    for turn in range(rounds):
        order = ("ours", "theirs") if turn % 2 else ("theirs", "ours")
        took = {way: seconds(way) for way in order}
        ratios.append(took["theirs"] / took["ours"])
    return round(statistics.median(ratios), 2)


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    sys.exit(figure.command(measure, options))
