"""From the alias set through the registry's REST API to the first answer by the new version, all gates gone through.

A copy of the project with its whole stack; `digits` trained briefly with one seed after the other. No version has a
bundle or gate evidence when its alias is set, so both are made on the way; then the last two versions, whose bundles
and evidence stand, take turns. The watch after a switch comes after the first answer and does not count. Then they take
turns while 32 connections ask without a pause, and some of the turns are `modelyard rollback`.

    python -m benchmarks.promotion [--switches 20] [--loaded 50] [--rollbacks 10]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import httpx
import yaml

from benchmarks import figure, steady_load
from benchmarks.figure import Figure, tell
from components.gates import load
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy

NAME = "promotion"
MODEL = "digits"


def measure(switches: int = 20, loaded: int = 50, rollbacks: int = 10) -> list[Figure]:
    """Median and 95th percentile of both; requests that failed under load, and how long they took."""
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        releases = Releases(house)
        path = house.project.pipeline_file(MODEL)
        document = yaml.safe_load(path.read_text())
        document["gates"] = {"champion": {"min_effect": -0.9}, "accuracy": {"min": 0.2}}
        document["release"] = {"watch_seconds": 0.5}
        path.write_text(yaml.safe_dump(document))
        for seed in range(switches + 1):
            house.run("run", MODEL, "--set", "train.epochs=2", "--set", f"train.seed={seed}", timeout=600)
        tell(f"{switches + 1} versions are registered")
        shutil.rmtree(house.project.bundles)
        _promote(releases, "1")  # starts the service
        built = [_promote(releases, str(number)) for number in range(2, switches + 2)]
        last, before = str(switches + 1), str(switches)
        standing = [_promote(releases, before if turn % 2 == 0 else last) for turn in range(switches)]
        tell("the same under load")
        under_load = _under_load(releases, [before, last], loaded, rollbacks)
    return [
        *_figures("bundle to be built, all gates", built, 6),
        *_figures("bundle built, gates gone through before", standing, 1.5),
        *under_load,
    ]


def _under_load(releases: Releases, turns: list[str], switches: int, rollbacks: int) -> list[Figure]:
    """Alias changes and rollbacks while every connection is busy."""
    port = httpx.URL(releases.service(MODEL).url or "").port
    assert port is not None
    windows = []
    with steady_load.during(load.post("/predict", _picture(releases), "application/octet-stream", port), port) as found:
        time.sleep(5)
        for turn in range(switches + rollbacks):
            begun = time.perf_counter()
            if turn < switches:
                _promote(releases, turns[turn % 2])
            else:
                releases.house.run("rollback", MODEL)
            windows.append((begun, time.perf_counter()))
            time.sleep(1)
    (done,) = found
    between = [(end, following) for (_, end), (following, _) in pairwise(windows)]
    at_rest, meanwhile = (steady_load.percentile(steady_load.within(done, some), 99) for some in (between, windows))
    tell(f"{done.rate:.0f} requests/s; {sorted(set(done.versions))} answered")
    what = f"{switches} alias changes and {rollbacks} rollbacks, {steady_load.CONNECTIONS} connections"
    return [
        Figure(NAME, f"{what}: requests not answered", done.errors, at_most=0),
        Figure(NAME, "... p99 between them", round(at_rest, 1), "ms"),
        Figure(NAME, "... p99 from the alias to the closed ledger", round(meanwhile, 1), "ms"),
        Figure(NAME, "... ratio", round(meanwhile / at_rest, 2), "x", at_most=2),
    ]


def _picture(releases: Releases) -> bytes:
    return next((releases.house.project.state / "packages").glob("*/golden/*.png")).read_bytes()


def _promote(releases: Releases, version: str) -> float:
    begun = time.monotonic()
    releases.set(MODEL, version)
    picture = _picture(releases)
    headers = {"content-type": "application/octet-stream"}
    answered = ""
    while answered != version:
        url = releases.service(MODEL).url
        if url is not None:
            try:
                answer = httpx.post(
                    f"{url}/predict", content=picture, headers=headers, trust_env=False, verify=False, timeout=10
                )
                answered = answer.headers.get("X-Modelyard-Version", "") if answer.is_success else ""
            except httpx.TransportError:
                answered = ""
        assert time.monotonic() - begun < 300, f"version {version} does not answer"
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    tell(f"version {version} answered after {seconds:.2f} s")
    releases.wait_until_serves(MODEL, version)
    time.sleep(1.5)  # not always at the same moment of the controller's second
    return seconds


def _figures(what: str, seconds: list[float], target: float) -> list[Figure]:
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return [
        Figure(NAME, f"{what}: median", round(statistics.median(seconds), 2), "s"),
        Figure(NAME, f"{what}: 95th percentile of {len(seconds)}", round(p95, 2), "s", at_most=target),
    ]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--switches", type=int, default=20, help="of each kind (default: %(default)s)")
    options.add_argument("--loaded", type=int, default=50, help="alias changes under load (default: %(default)s)")
    options.add_argument("--rollbacks", type=int, default=10, help="under load (default: %(default)s)")
    sys.exit(figure.command(measure, options))
