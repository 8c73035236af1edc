"""What the door before the servers costs: `modelyard run` with nothing to do and 1,000 calls of Prefect's API.

Two copies of the project, each with its stack. In one of them the door looks at those requests alone that ask for it
with a header. A run is asked of both in turns; the calls go to one and the same server, with the header and without.

    python -m benchmarks.doors [--pairs 7]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks import figure
from benchmarks.figure import Figure, tell
from flows.platform import lifecycle
from tests.house import House
from tests.project_copy import running_copy

NAME = "doors"
CALLS, BATCH = 1000, 5  # small batches in turns: what else the machine does meets both alike
CHECKS = '        headers: dict[bytes, bytes] = dict(scope["headers"])\n'
OPEN = """\
        if scope["path"] != challenge.PATH and (b"x-door", b"1") not in scope["headers"]:
            scope[ACTOR] = partial(Actor, "unknown", None, "not asked")
            await self.application(scope, receive, send)
            return
"""


def measure(pairs: int = 7) -> list[Figure]:
    """The ratios, with the door and without."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        home = Path(folder)
        with running_copy(home / "guarded") as ours, running_copy(home / "bare", _take_off) as theirs:
            for house in (ours, theirs):
                tell(f"one run of digits in {house.root.name}")
                house.run("run", "digits", timeout=600)
            runs = _in_turns(pairs, lambda door: _run(ours if door else theirs))
            url = lifecycle.configured(theirs.project).prefect_api
            with theirs.client(url, timeout=30) as client:
                calls = _in_turns(CALLS // BATCH, lambda door: _calls(client, door))
    return [
        Figure(NAME, "`modelyard run` with nothing to do, with the door", round(runs[0], 3), "s"),
        Figure(NAME, "ratio to the same without it", round(runs[1], 3), "x", at_most=1.05),
        Figure(NAME, "a call of Prefect's API, with the door", round(1000 * calls[0] / BATCH, 3), "ms"),
        Figure(NAME, f"ratio of {CALLS} calls to the same without it", round(calls[1], 3), "x", at_most=1.05),
    ]


def _take_off(root: Path) -> None:
    """Let the door of a copy pass everything on."""
    door = root / "components" / "access" / "door.py"
    assert CHECKS in door.read_text()
    door.write_text(door.read_text().replace(CHECKS, OPEN + CHECKS))


def _in_turns(turns: int, seconds: Callable[[bool], float]) -> tuple[float, float]:
    """The median with the door, and the median of the ratios to without."""
    seconds(True), seconds(False)
    found = []
    for turn in range(turns):
        pair = {door: seconds(door) for door in ((True, False) if turn % 2 else (False, True))}
        found.append((pair[True], pair[False]))
    tell(f"with the door and without: {', '.join(f'{a:.3f}/{b:.3f}' for a, b in found[:7])} s")
    return statistics.median(a for a, _ in found), statistics.median(a / b for a, b in found)


def _run(house: House) -> float:
    begin = time.perf_counter()
    house.run("run", "digits")
    return time.perf_counter() - begin


def _calls(client: httpx.Client, door: bool) -> float:
    headers = {"x-door": "1"} if door else {}
    begin = time.perf_counter()
    for _ in range(BATCH):
        client.post("/flows/filter", json={"limit": 5}, headers=headers).raise_for_status()
    return time.perf_counter() - begin


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--pairs", type=int, default=7)
    sys.exit(figure.command(measure, options))
