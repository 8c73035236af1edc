"""Run the benchmarks in turn, each in a process of its own, and print one table.

Leave the machine alone meanwhile; all of them take about three quarters of an hour. Not among them, because each takes
half an hour by itself: the accuracy on Fashion-MNIST, `modelyard run fashion`, and `python -m benchmarks.chaos`;
`python -m benchmarks.advise` takes an hour. `python -m benchmarks.closed_loop` needs the data of SST-2.

    python -m benchmarks [NAME...] [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "nothing_to_do",
    "first_run",
    "training_throughput",
    "training_parts",
    "padding",
    "mutated_data",
    "prepare_memory",
    "wrong_labels",
    "score",
    "serving",
    "generation",
    "switching",
    "rollover",
    "promotion",
    "rollback",
    "champion_gate",
    "doors",
    "ledger",
    "console",
    "kills",
    "demo",
)


def main() -> int:
    """0: all targets met; 1: one was missed, or a benchmark failed."""
    parser = figure.parser(__doc__)
    parser.prog = "python -m benchmarks"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(NAMES)):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    figures: list[Figure] = []
    failed = []
    for name in asked.names or NAMES:
        begin = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        if done.returncode > 1 or not done.stdout.strip():
            failed.append(name)
            print(f"{name} failed with {done.returncode}", file=sys.stderr, flush=True)
            continue
        figures += map(Figure.of, json.loads(done.stdout))
        print(f"{name} took {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    figure.show(figures, asked.json)
    if not asked.json:
        print("Fashion-MNIST's accuracy (at least 0.935 within 45 minutes on 2 cores): modelyard run fashion")
    return 0 if figure.all_met(figures) and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
