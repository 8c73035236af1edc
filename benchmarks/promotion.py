"""From the alias set through the registry's REST API to the first answer by the new version, all gates gone through.

A copy of the project with its whole stack; `digits` trained briefly with one seed after the other. No version has a
bundle or gate evidence when its alias is set, so both are made on the way; then the last two versions, whose bundles
and evidence stand, take turns. The watch after a switch comes after the first answer and does not count.

    python -m benchmarks.promotion [--switches 20]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import yaml

from benchmarks import figure
from benchmarks.figure import Figure, tell
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy

NAME = "promotion"
MODEL = "digits"


def measure(switches: int = 20) -> list[Figure]:
    """Median and 95th percentile of both."""
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
    return [
        *_figures("bundle to be built, all gates", built, 20),
        *_figures("bundle built, gates gone through before", standing, 5),
    ]


def _promote(releases: Releases, version: str) -> float:
    begun = time.monotonic()
    releases.set(MODEL, version)
    picture = next((releases.house.project.state / "packages").glob("*/golden/*.png")).read_bytes()
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
    time.sleep(1.5)  # not always at the same moment of the watcher's second
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
    sys.exit(figure.command(measure, options))
