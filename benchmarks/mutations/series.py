"""A table of a time and values: forecasting."""

from __future__ import annotations

import datetime
import random
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from benchmarks.mutations.dataset import Mutation, Row
from benchmarks.mutations.sheets import DIALECTS, NUMBERS, Sheet
from components.ingestion import times
from components.ingestion.sample import Sample

HOUR = 3600
ROWS = 300


class Series(Sheet):
    """Hours of two values; the truth has the place of each row in time."""

    task: ClassVar[str] = "forecasting"
    mutations: ClassVar[dict[str, Mutation]] = {}
    early: ClassVar[tuple[str, ...]] = (
        "ISO", "day first", "month", "epoch", "compact", "names of", "year", "daylight", "offsets", "name of a zone",
    )  # fmt: skip

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.columns = ["time", "v0", "v1"]
        self.start = datetime.datetime(2021, 1, 25, tzinfo=datetime.UTC)
        self.respell(HOUR, "%Y-%m-%d %H:%M:%S")

    def respell(self, step_seconds: int, form: Any) -> None:
        """All rows anew: `form` is that of strftime, or takes a time in UTC."""
        self.cells, self.rows = [], []
        for number in range(ROWS):
            time = self.start + datetime.timedelta(seconds=number * step_seconds)
            values = [round(self.rng.uniform(100, 3000), 2), round(self.rng.uniform(-5, 30), 2)]
            text = form(time) if callable(form) else time.strftime(form)
            self.cells.append({"time": text, "v0": f"{values[0]:.2f}", "v1": f"{values[1]:.2f}"})
            self.rows.append((number, time.timestamp(), *values))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        time = times.parse(sample.values["time"])
        values = (None if value != value else round(float(value), 6) for value in sample.values["values"])
        return (position, times.seconds(time) if time else None, *values)

    def drop(self, numbers: range) -> None:
        """Rows that are not in the file."""
        self.cells = [cells for number, cells in enumerate(self.cells) if number not in numbers]
        kept = [row for number, row in enumerate(self.rows) if number not in numbers and row is not None]
        self.rows = [(number, *row[1:]) for number, row in enumerate(kept)]


def _times(form: Any, step_seconds: int = HOUR) -> Mutation:
    def mutate(data: Series) -> None:
        data.respell(step_seconds, form)

    return mutate


def _newest_first(data: Series) -> None:
    data.cells = data.cells[::-1]
    data.must.append(("newest first",))


def _doubled(data: Series) -> None:
    data.cells.insert(40, dict(data.cells[40]))
    data.must.append(("stands twice",))


def _doubled_time(data: Series) -> None:
    data.cells.insert(40, {**data.cells[40], "v0": "999.00"})
    data.must.append(("stands twice",))


def _gap(data: Series) -> None:
    data.drop(range(100, 130))
    data.must.append(("but for",))


def _out_of_order(data: Series) -> None:
    data.cells[50], data.cells[51] = data.cells[51], data.cells[50]
    data.must.append(("not in the order",))


def _daylight_saving(data: Series) -> None:
    data.start = datetime.datetime(2021, 10, 25, tzinfo=datetime.UTC)
    zone = ZoneInfo("Europe/Berlin")
    data.respell(HOUR, lambda time: time.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"))
    data.must.append(("daylight saving",))


def _daylight_saving_in_spring(data: Series) -> None:
    data.start = datetime.datetime(2021, 3, 24, tzinfo=datetime.UTC)
    zone = ZoneInfo("Europe/Berlin")
    data.respell(HOUR, lambda time: time.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"))
    data.words += ["daylight saving"]


def _offsets(data: Series) -> None:
    data.start = datetime.datetime(2021, 10, 25, tzinfo=datetime.UTC)
    zone = ZoneInfo("Europe/Berlin")
    data.respell(HOUR, lambda time: time.astimezone(zone).isoformat())


def _zone_name(data: Series) -> None:
    data.respell(HOUR, "%Y-%m-%d %H:%M:%S CET")
    data.must.append(("zone", "cet"))


def _day_and_clock(data: Series) -> None:
    for cells in data.cells:
        cells["date"], _, cells["clock"] = cells["time"].partition(" ")
    data.columns = ["date", "clock", "v0", "v1"]
    data.must.append(("two columns",))


def _monthly(data: Series) -> None:
    for number, (cells, row) in enumerate(zip(data.cells, data.rows, strict=True)):
        assert row is not None
        time = datetime.datetime(1990 + number // 12, number % 12 + 1, 1, tzinfo=datetime.UTC)
        cells["time"], data.rows[number] = f"{time:%Y-%m}", (number, time.timestamp(), *row[2:])


def _repeated_header(data: Series) -> None:
    data.below += [data.delimiter.join(data.columns)]
    data.must.append(("time",))


def _total(data: Series) -> None:
    data.below += [data.delimiter.join(["Total", "123", "456"])]
    data.must.append(("total",))


DAY = 24 * HOUR
Series.mutations = {
    **DIALECTS,
    **NUMBERS,
    "ISO with T and Z": _times("%Y-%m-%dT%H:%M:%SZ"),
    "ISO with fractions": _times("%Y-%m-%dT%H:%M:%S.000"),
    "day first, dots": _times("%d.%m.%Y %H:%M"),
    "day first, slashes": _times("%d/%m/%Y %H:%M"),
    "month first, slashes": _times("%m/%d/%Y %H:%M"),
    "month first, 12 hours": _times("%m/%d/%Y %I:%M:%S %p"),
    "day first, two digits": _times("%d.%m.%y", DAY),
    "epoch seconds": _times(lambda time: str(int(time.timestamp()))),
    "epoch milliseconds": _times(lambda time: str(int(time.timestamp() * 1000))),
    "epoch seconds as decimals": _times(lambda time: f"{time.timestamp():.1f}"),
    "compact days": _times("%Y%m%d", DAY),
    "compact hours": _times("%Y%m%d%H"),
    "compact seconds": _times("%Y%m%d%H%M%S"),
    "names of months": _times("%d %b %Y", DAY),
    "months": _monthly,
    "year and slashes": _times("%Y/%m/%d %H:%M"),
    "newest first": _newest_first,
    "a row twice": _doubled,
    "a time twice": _doubled_time,
    "gap": _gap,
    "two rows changed": _out_of_order,
    "daylight saving": _daylight_saving,
    "daylight saving in spring": _daylight_saving_in_spring,
    "offsets": _offsets,
    "name of a zone": _zone_name,
    "day and clock in two columns": _day_and_clock,
    "the header again": _repeated_header,
    "a row of sums": _total,
}
