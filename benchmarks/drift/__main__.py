"""Drift monitoring by simulation: rates and delays, no timings, so a busy machine does not matter.

    python -m benchmarks.drift false-alarms [--months 10000]     months without drift: alarms a month
    python -m benchmarks.drift delay [--repeats 5]               ten kinds of drift, against evidently and nannyml
    python -m benchmarks.drift comparison [--comparisons 1000]   equal models, looked at after each batch of labels

`delay` installs evidently and nannyml into an environment of their own, `.modelyard/benchmarks/drift`, the first time.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import figure
from benchmarks.drift import comparison, delay, false_alarms


def main() -> int:
    """0: all targets met; 1: one was missed."""
    parser = figure.parser(__doc__)
    parser.prog = "python -m benchmarks.drift"
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    months = commands.add_parser("false-alarms")
    months.add_argument("--months", type=_positive, default=10_000)
    repeats = commands.add_parser("delay")
    repeats.add_argument("--repeats", type=_positive, default=5, help="streams of each kind and strength")
    comparisons = commands.add_parser("comparison")
    comparisons.add_argument("--comparisons", type=_positive, default=1_000)
    options = vars(parser.parse_args())
    as_json, command = options.pop("json"), options.pop("command")
    measure = {"false-alarms": false_alarms.measure, "delay": delay.measure, "comparison": comparison.measure}[command]
    figures = measure(**options)
    figure.show(figures, as_json)
    return 0 if figure.all_met(figures) else 1


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
