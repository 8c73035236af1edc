"""Requests/s and latency of the packaged service, against the same application under bare uvicorn, in turns.

`modelyard promote digits 1` in a fresh copy, one worker; the same bundle's package and application without
BentoML. 32 keep-alive connections post one golden picture of the package to /predict.

    python -m benchmarks.serving [--rounds 5] [--seconds 3]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.gates import load
from components.gates.load import Load
from flows.platform import ports
from tests.house import House
from tests.project_copy import running_copy

NAME = "serving"
CONNECTIONS = 32


def measure(rounds: int = 5, seconds: float = 3) -> list[Figure]:
    """Requests/s and percentiles of both, and the ratio of the rates."""
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        tell("the stack of a copy is up; one run of digits, then serving it")
        made = house.json("run", "digits", timeout=600)
        served = house.json("promote", "digits", made["version"])
        model, _, version = made["bundle"].partition(":")
        source = house.project.bundles / "bentos" / model / version / "src"
        with bare(house, source) as port:
            return compare(int(served["url"].rpartition(":")[2]), port, source, rounds, seconds)


def compare(bundled: int, plain: int, source: Path, rounds: int, seconds: float) -> list[Figure]:
    """Load two ports in turns with the first golden picture of a bundle's package."""
    picture = sorted((source / "package" / "golden").glob("0*"))[0]
    kind = {".png": "image/png", ".jpg": "image/jpeg"}[picture.suffix]
    loads: dict[int, list[Load]] = {bundled: [], plain: []}
    for turn in range(-1, rounds):  # the first warms up
        for port in (bundled, plain) if turn % 2 else (plain, bundled):
            request = load.post("/predict", picture.read_bytes(), kind, port)
            done = load.run(request, port, connections=CONNECTIONS, seconds=seconds if turn >= 0 else 1)
            assert not done.errors, f"{done.errors} requests were not answered with 200"
            if turn >= 0:
                loads[port].append(done)
        if turn >= 0:
            tell(f"service {loads[bundled][-1].rate:.0f} requests/s, bare {loads[plain][-1].rate:.0f}")
    ratio = statistics.median(o.rate / b.rate for o, b in zip(loads[bundled], loads[plain], strict=True))
    return [
        *_figures("the application under bare uvicorn", loads[plain]),
        *_figures("the packaged service", loads[bundled]),
        Figure(NAME, "ratio of requests/s", round(ratio, 3), "x"),
    ]


@contextmanager
def bare(house: House, source: Path) -> Iterator[int]:
    """The bare service of a bundle's source, ready; its port."""
    port = ports.choose(3100, set())
    words = [sys.executable, "-m", "benchmarks.bare_service", str(source), str(port)]
    process = subprocess.Popen(words, cwd=house.root, env=house.environment, stdout=sys.stderr)
    try:
        _wait(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        assert process.poll() is None, f"the bare service ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/model", timeout=5):  # loopback
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError("the bare service did not become ready within 30 s")


def _figures(what: str, loads: list[Load]) -> list[Figure]:
    return [
        Figure(NAME, what, round(statistics.median(load.rate for load in loads)), "requests/s"),
        *(
            Figure(NAME, f"... p{percent}", round(statistics.median(x.percentile_ms(percent) for x in loads), 1), "ms")
            for percent in (50, 99)
        ),
    ]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=3)
    sys.exit(figure.command(measure, options))
