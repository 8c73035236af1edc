"""Series in time, out of wheels: by year, month, week, day, hour and half-hour."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from benchmarks.public_sets.origin import Origin
from benchmarks.public_sets.public_set import PublicSet

AEON, PMDARIMA, RIVER = "aeon==1.6.0", "pmdarima==2.1.1", "river==0.26.1"
STATSMODELS, VEGA = "statsmodels==0.15.0", "vega-datasets==0.9.0"


def _sunspots(content: bytes) -> bytes:
    """Rows of twelve numbers, a row a year from 1749 on, as a table of months."""
    numbers = gzip.decompress(content).split()
    lines = [b"month,sunspots"]
    lines += [b"%d-%02d,%s" % (1749 + place // 12, place % 12 + 1, number) for place, number in enumerate(numbers)]
    return b"\n".join(lines) + b"\n"


def _set(
    name: str,
    requirement: str,
    member: str,
    change: Callable[[bytes], bytes] = bytes,
    *,
    held_out: bool,
    stops_at: str | None = None,
) -> PublicSet:
    def write(origin: Origin, folder: Path) -> Path:
        path = folder / f"{name}.csv"
        path.write_bytes(change(origin.packaged(requirement, member)))
        return path

    return PublicSet(name, write, "mse", lower_is_better=True, held_out=held_out, stops_at=stops_at)


_DRIFT = "river/drift/datasets"
SETS = (
    _set("airline-passengers", RIVER, "river/datasets/airline-passengers.csv", held_out=False),
    _set("air-traffic", RIVER, f"{_DRIFT}/airline_passengers.csv", held_out=True),
    _set("sunspots", PMDARIMA, "pmdarima/datasets/data/sunspots.txt.gz", _sunspots, held_out=False),
    _set("sunspots-yearly", STATSMODELS, "statsmodels/datasets/sunspots/sunspots.csv", held_out=True),
    _set("us-employment", VEGA, "vega_datasets/_data/us-employment.csv", held_out=False),
    _set("apple", RIVER, f"{_DRIFT}/apple.csv", held_out=True, stops_at="a longer step is a gap"),
    _set("elec-equip", STATSMODELS, "statsmodels/datasets/elec_equip/elec_equip.csv", held_out=False),
    _set("solar", AEON, "aeon/datasets/data/solar/solar.csv", held_out=True),
    _set("co2", STATSMODELS, "statsmodels/datasets/co2/co2.csv", held_out=True, stops_at="no value is missing"),
    _set("water-flow", RIVER, "river/datasets/water-flow.csv", held_out=True, stops_at="a longer step is a gap"),
    _set(
        "seattle-temps", VEGA, "vega_datasets/_data/seattle-temps.csv", held_out=True, stops_at="a longer step is a gap"
    ),
)
