"""What srun says of the ranks that it has started, apart from what they say themselves.

Without the accounting database, which not every cluster has, Slurm says nowhere else how a task has ended.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import NamedTuple

from components.core.log import Log

_END = re.compile(r"srun: error: (?P<node>\S+): tasks? (?P<ranks>[\d,-]+): (?P<how>.+)")
_EXIT = re.compile(r"Exited with exit code (\d+)")
_NODE = re.compile(r"srun: error: Node failure on (\S+)")
_SLURM = ("srun: ", "slurmstepd")
_OUT_OF_MEMORY = "Out Of Memory"
# As the C library describes the signals, which srun prints.
_SIGNALS = {
    signal.strsignal(number): -int(number) for number in signal.Signals if signal.strsignal(number) is not None
}  # fmt: skip


class RankEnd(NamedTuple):
    """The end of a rank with an error.

    Args:
        node: where it ran.
        code: its exit code; negative: a signal.
        is_out_of_memory: whether Slurm has killed it for lack of memory.
    """

    rank: int
    node: str
    code: int
    is_out_of_memory: bool


class SrunOutput:
    """Reads the lines of srun's standard error.

    Args:
        on_line: called with each line of a rank.
    """

    def __init__(self, on_line: Log) -> None:
        self._on_line = on_line
        self.ends: list[RankEnd] = []  # in the order in which srun heard of them
        self.failed_nodes: list[str] = []
        self.last_error: str | None = None

    def take(self, line: str) -> None:
        """Take a line."""
        if not line.startswith(_SLURM):
            self._on_line(line)
            return
        if line.startswith("srun: error: "):
            self.last_error = line.removeprefix("srun: error: ")
        if (node := _NODE.match(line)) is not None:
            self.failed_nodes.append(node[1])
        if (end := _END.match(line)) is not None:
            how = end["how"].removesuffix(" (core dumped)").strip()
            self.ends += [
                RankEnd(rank, end["node"], _code(how), how == _OUT_OF_MEMORY) for rank in _numbers(end["ranks"])
            ]


def _code(how: str) -> int:
    if (code := _EXIT.match(how)) is not None:
        return int(code[1])
    return -int(signal.SIGKILL) if how == _OUT_OF_MEMORY else _SIGNALS.get(how, 1)


def _numbers(text: str) -> Iterator[int]:
    """The numbers of a list such as `0,4-6`."""
    for part in text.split(","):
        begin, _, end = part.partition("-")
        yield from range(int(begin), int(end or begin) + 1)
