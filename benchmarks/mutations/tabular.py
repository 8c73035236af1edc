"""Tables of features: numbers and categories beside a label, and beside a target."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

from benchmarks.mutations.dataset import Mutation, Row, some
from benchmarks.mutations.sheets import DIALECTS, LABELS, Sheet, split_column, split_files
from components.ingestion.sample import Sample

JOBS = ("clerk", "smith", "cook", "self-employed")
ROWS = 120


class Features(Sheet):
    """Rows of three numbers, a category and a boolean, with a label; the truth has the values by name."""

    task: ClassVar[str] = "tabular-classification"
    mutations: ClassVar[dict[str, Mutation]] = {}
    truth_name: ClassVar[str] = "label"

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.columns = ["age", "vweight", "vlength", "job", "is_new", self.truth_name]
        labels = rng.choice(LABELS)
        for number in range(ROWS):
            values = {"age": rng.randint(18, 90), "vweight": round(rng.uniform(-2000, 3000), 3),
                      "vlength": round(rng.uniform(1, 900), 3), "job": rng.choice(JOBS),
                      "is_new": rng.choice(("true", "false"))}  # fmt: skip
            truth: Any = labels[number % len(labels)] if self.truth_name == "label" else round(rng.uniform(10, 900), 2)
            self.cells.append({name: str(value) for name, value in {**values, self.truth_name: truth}.items()})
            self.rows.append((None, truth, *sorted(values.items())))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        values = sample.values
        truth = values["label"] if self.truth_name == "label" else round(float(values["target"][0]), 6)
        row = {name.strip().lower(): value for name, value in values["row"].items()}
        return (sample.split, truth, *sorted(row.items()))

    def change(self, number: int, name: str, cell: str, value: Any) -> None:
        """Another cell in a row, and what a person reads in it."""
        row = self.rows[number]
        assert row is not None
        values = {**dict(row[2:]), name: value}
        spelled = next(key for key in self.cells[number] if key.strip().lower() == name)
        self.cells[number][spelled] = cell
        self.rows[number] = (*row[:2], *sorted(values.items()))


class Prices(Features):
    """The same with a target."""

    task: ClassVar[str] = "tabular-regression"
    truth_name: ClassVar[str] = "price"


def _order(data: Features) -> None:
    data.rng.shuffle(data.columns)


def _missing(*words: str) -> Mutation:
    """Cells of numbers and of categories without a value."""

    def mutate(data: Features) -> None:
        word = data.rng.choice(words)
        for number in some(data.rng, range(ROWS), 0.1):
            data.change(number, data.rng.choice(("age", "vweight", "job")), word, None)

    return mutate


def _quoted(data: Features) -> None:
    data.quote_all = True


def _spelled(name: str, form: Callable[[str], str]) -> Mutation:
    """Cells of a column in another spelling; the values are the same."""

    def mutate(data: Features) -> None:
        for number in some(data.rng, range(ROWS), 0.4):
            data.cells[number][name] = form(data.cells[number][name])

    return mutate


def _late_category(data: Features) -> None:
    """A category that the last row has alone."""
    data.change(ROWS - 1, "job", "astronaut", "astronaut")


def _upper_booleans(data: Features) -> None:
    for cells in data.cells:
        cells["is_new"] = cells["is_new"].upper()


def _whole_labels(form: str) -> Mutation:
    def mutate(data: Features) -> None:
        names = sorted({str(row[1]) for row in data.rows if row is not None})
        for number, row in enumerate(data.rows):
            assert row is not None
            label = form.format(names.index(str(row[1])))
            data.cells[number]["label"], data.rows[number] = label, (row[0], label, *row[2:])

    return mutate


def _stopped_labels(data: Features) -> None:
    """Some labels with a full stop behind them."""
    _spelled("label", lambda label: f"{label}.")(data)
    data.must.append(("full stop",))


def _constant(data: Features) -> None:
    data.columns.insert(0, "unit")
    for cells in data.cells:
        cells["unit"] = "kg"
    data.must.append(("constant",))


def _remarks(data: Features) -> None:
    data.columns.insert(1, "remark")
    for number, cells in enumerate(data.cells):
        cells["remark"] = f"seen by number {number}"
    data.must.append(("texts",))


def _no_truth(data: Features) -> None:
    for number in some(data.rng, range(ROWS), 0.05):
        data.cells[number][data.truth_name], data.rows[number] = "", None
    data.must.append(("no label", "no target"))


def _unnamed(data: Features) -> None:
    """A label whose name says nothing."""
    data.columns = ["group_of" if name == "label" else name for name in data.columns]
    for cells in data.cells:
        cells["group_of"] = cells.pop("label")
    data.must.append(("which column is the label",))


def _sentinel(data: Features) -> None:
    for number in some(data.rng, range(ROWS), 0.05):
        data.change(number, "vweight", "-99999", None)
    data.must.append(("far from",))


_ALIKE: dict[str, Mutation] = {
    **DIALECTS,
    "columns in another order": _order,
    "holes": _missing(""),
    "words for a missing value": _missing("?", "NA", "n/a"),
    "quoted numbers": _quoted,
    "blanks around categories": _spelled("job", lambda job: f" {job} "),
    "plus signs": _spelled("vlength", lambda text: f"+{text}"),
    "whole numbers as floats": _spelled("age", lambda text: f"{text}.0"),
    "booleans in capitals": _upper_booleans,
    "a category of one row": _late_category,
    "a constant column": _constant,
    "a column of remarks": _remarks,
    "rows without truth": _no_truth,
    "sentinel": _sentinel,
    "split column": split_column,
    "a file a split": split_files,
}
Features.mutations = {
    **_ALIKE,
    "whole numbers as labels": _whole_labels("{}"),
    "float labels": _whole_labels("{}.0"),
    "full stops behind labels": _stopped_labels,
    "a label without a name": _unnamed,
}
Prices.mutations = dict(_ALIKE)
