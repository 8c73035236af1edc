"""`modelyard new` and `modelyard run`, nothing edited, on public sets: the drafted pipeline against the best one here.

The sets come from the folder that MODELYARD_MIRROR names, in the form in which people get them; a set that is not there
is left out, which is said. Only official splits that lie in files or folders are recognised; of the others, a split is
drawn, so their figure is on other samples than the one beside it.

    python -m benchmarks.drafts [--only NAME,NAME]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import figure
from benchmarks.figure import Figure, tell
from tests.house import House
from tests.project_copy import running_copy

NAME = "drafts"
MAX_MINUTES = 10.0
POINTS, FORECAST_SHARE = 0.03, 0.1  # below the best figure; of the error, for forecasts


class PublicSet(NamedTuple):
    """A set in the mirror.

    Args:
        files: below the mirror; a folder of several files is made of them, a single one is given as it is.
        metric: of metrics.json.
        best: the best figure that a pipeline of this project reaches (benchmarks/results.md).
        options: what `new` has to be told, such as the label of files without a header.
    """

    name: str
    files: tuple[str, ...]
    metric: str
    best: float
    lower_is_better: bool = False
    options: tuple[str, ...] = ()


SETS = (
    PublicSet("sst2", ("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv"), "accuracy", 0.8885),
    PublicSet("sms", ("sms-spam/SMSSpamCollection",), "accuracy", 0.9883),
    PublicSet("fsdd", ("fsdd/fsdd.tar.gz",), "accuracy", 1.0),
    PublicSet("flowers", ("flowers/tf_flowers_128.tar.gz",), "accuracy", 0.7745),
    PublicSet("etth1", ("etth1/ETTh1.csv",), "mse", 0.3754, lower_is_better=True),
    PublicSet("bccd", ("bccd/bccd.tar.gz",), "map_50", 0.8525),
    PublicSet("adult", ("adult/adult-train.csv", "adult/adult-test.csv"), "accuracy", 0.855,
              options=("--label", "column_14")),
)  # fmt: skip


def measure(only: str = "") -> list[Figure]:
    """The figure, the minutes and the model of each drafted pipeline."""
    mirror = Path(os.environ.get("MODELYARD_MIRROR", "/nowhere"))
    chosen = [public for public in SETS if not only or public.name in only.split(",")]
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        for public in chosen:
            if not all((mirror / name).is_file() for name in public.files):
                tell(f"{public.name} is left out: not below MODELYARD_MIRROR")
                continue
            figures += _draft_and_run(house, public, _source(mirror, public, Path(folder) / "sources"))
    return figures


def _source(mirror: Path, public: PublicSet, folder: Path) -> Path:
    if len(public.files) == 1:
        return mirror / public.files[0]
    target = folder / public.name
    target.mkdir(parents=True)
    for name in public.files:
        (target / Path(name).name).symlink_to((mirror / name).resolve())
    return target


def _draft_and_run(house: House, public: PublicSet, source: Path) -> list[Figure]:
    name = f"drafted-{public.name}"
    begin = time.monotonic()
    drafted: dict[str, Any] = house.json("new", name, "--from", str(source), *public.options)
    house.run("run", name, timeout=3600)
    minutes = (time.monotonic() - begin) / 60
    overall = _metrics(house, name)
    value = overall[public.metric]
    tell(f"{name}: {drafted['task']}, {overall}, {minutes:.1f} min")
    what = f"`new` + `run` {public.name}: {public.metric}"
    most = round(public.best * (1 + FORECAST_SHARE), 4) if public.lower_is_better else None
    least = None if public.lower_is_better else round(public.best - POINTS, 4)
    return [
        Figure(NAME, what, round(value, 4), at_most=most, at_least=least),
        Figure(NAME, "... in all", round(minutes, 1), "min", at_most=MAX_MINUTES),
    ]


def _metrics(house: House, name: str) -> dict[str, float]:
    """The figures of the pipeline's package."""
    packages: Sequence[Path] = sorted((house.project.state / "packages").iterdir(), key=lambda p: p.stat().st_mtime)
    for package in reversed(packages):
        if json.loads((package / "manifest.json").read_text())["facts"]["pipeline"] == name:
            overall: dict[str, float] = json.loads((package / "metrics.json").read_text())["overall"]
            return overall
    raise LookupError(name)


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--only", default="", help="names, separated by commas")
    sys.exit(figure.command(measure, options))
