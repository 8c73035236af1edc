"""The ledger in SQLite against the JSON lines of before, in turns, each with so many entries in it.

Before: a file of lines under a lock; an append checks the last line and flushes the file to the disk, and a command
that reads checks every line. Now: a transaction that flushes the log to the disk, signatures, and a command that looks
at the end reads the last entry alone. Both write the same entries to the same disk.

    python -m benchmarks.ledger [--entries 10000] [--appends 200] [--rounds 5]
"""

from __future__ import annotations

import fcntl
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import figure
from benchmarks.figure import Figure
from components.release import entry as entries
from components.release.ledger import Ledger

NAME = "ledger"
FACTS = {
    "bundle": "digits:0f1e2d3c4b5a6978",
    "figures": {"accuracy": {"value": 0.9871, "limit": 0.975}},
    "seconds": 1.25,
}


class Lines:
    """The algorithm of before: an append reads the last line, a reader that is new reads all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self) -> None:
        """Chain an entry to the last line, under the lock."""
        with self.path.with_suffix(".lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.path.open("rb") as stream:
                stream.seek(-min(os.fstat(stream.fileno()).st_size, 65_536), os.SEEK_END)
                last = json.loads(stream.read().splitlines()[-1])
            entries.check_alone(last, str(self.path))
            entries.as_entry(last, str(self.path))
            line = json.dumps(_document(last["sequence"] + 1, last["digest"])).encode() + b"\n"
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.ftruncate(lock.fileno(), 0)
            os.pwrite(lock.fileno(), json.dumps(list(self.path.stat())).encode(), 0)

    def read(self) -> list[entries.Entry]:
        """Every line, checked."""
        found: list[entries.Entry] = []
        before = None
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            document = entries.parsed(line, f"{self.path}:{number}")
            entries.check(document, before, f"{self.path}:{number}")
            found.append(entries.as_entry(document, f"{self.path}:{number}"))
            before = document
        return found


def _document(sequence: int, previous: str) -> dict[str, Any]:
    draft = entries.Entry(
        sequence=sequence,
        time="2026-01-01T00:00:00.000+00:00",
        release="0123456789ab",
        event="compared",
        role="champion",
        before=None,
        after=entries.VersionRef(version="3", package_digest="3" * 64),
        asked_by="ann",
        facts=FACTS,
        previous=previous,
        digest="",
    ).model_dump(mode="json")
    return {**draft, "digest": entries.digest_of(draft)}


def measure(entries: int = 10_000, appends: int = 200, rounds: int = 5) -> list[Figure]:
    """Medians of the rounds, and of their ratios."""
    with tempfile.TemporaryDirectory(prefix="modelyard-", dir=Path.cwd()) as name:
        folder = Path(name)
        lines = Lines(folder / "before.jsonl")
        before = "0" * 64
        with lines.path.open("w") as stream:
            for number in range(1, entries + 1):
                document = _document(number, before)
                before = document["digest"]
                stream.write(json.dumps(document) + "\n")
        (folder / "now.jsonl").write_bytes(lines.path.read_bytes())
        ledger = Ledger(folder, "now")
        begin = time.perf_counter()
        ledger.head()
        taken_over = time.perf_counter() - begin
        figure.tell(f"{entries:,} entries; taken over in {taken_over:.1f} s")

        def append() -> None:
            ledger.append(
                "compared",
                release="0123456789ab",
                role="champion",
                before=None,
                after=None,
                asked_by="ann",
                facts=FACTS,
            )

        ways: dict[str, tuple[Callable[[], object], int]] = {
            "append before": (lines.append, appends),
            "append now": (append, appends),
            "all before": (lines.read, 1),
            "all now": (lambda: Ledger(folder, "now").entries(), 1),
            "end before": (lines.read, 1),  # it had no other way for a process that begins
            "end now": (lambda: Ledger(folder, "now").head(), 50),
            "again now": (ledger.entries, 50),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        ledger.entries()
        for turn in range(rounds):
            for name in ways if turn % 2 else reversed(ways):
                work, times = ways[name]
                begin = time.perf_counter()
                for _ in range(times):
                    work()
                rates[name].append(times / (time.perf_counter() - begin))

    def rate(name: str) -> float:
        return round(statistics.median(rates[name]), 2)

    def ratio(kind: str) -> float:
        both = zip(rates[f"{kind} now"], rates[f"{kind} before"], strict=True)
        return round(statistics.median(now / before for now, before in both), 3)

    at = f"at {entries:,} entries"
    return [
        Figure(NAME, f"appends before, {at}", rate("append before"), "/s"),
        Figure(NAME, "appends now, signed", rate("append now"), "/s"),
        Figure(NAME, "ratio", ratio("append"), "x", at_least=0.5),
        Figure(NAME, "reading and checking all in a new process, before", rate("all before"), "/s"),
        Figure(NAME, "reading and checking all in a new process, now", rate("all now"), "/s"),
        Figure(NAME, "ratio", ratio("all"), "x", at_least=0.5),
        Figure(NAME, "looking at the end in a new process, now", rate("end now"), "/s"),
        Figure(NAME, "ratio", ratio("end"), "x", at_least=100),
        Figure(NAME, "all entries again in the same process, now", rate("again now"), "/s"),
        Figure(NAME, "taking a file of before over", round(taken_over, 2), "s"),
    ]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--entries", type=int, default=10_000)
    options.add_argument("--appends", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    sys.exit(figure.command(measure, options))
