"""Tables as text: texts with labels, texts alone, series of values with labels; and how spreadsheets spell them."""

from __future__ import annotations

import csv
import gzip
import io
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from benchmarks.mutations.dataset import Dataset, Mutation, Row, sentence, some
from components.ingestion.sample import Sample

LABELS = (("good", "bad"), ("spam", "ham"), ("ja", "nein", "weiß nicht"), ("très bien", "mal"))


class Sheet(Dataset):
    """Base of tables: rows of cells, and how they are written.

    Attributes:
        cells: of each row, by column: what the file says.
        rows: of each row, what a person reads in it; None: nothing, it is to be left out.
        files_of: number of files of a split.
    """

    is_folder: ClassVar[bool] = False

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.columns: list[str] = []
        self.cells: list[dict[str, str]] = []
        self.rows: list[Row | None] = []
        self.delimiter, self.encoding, self.newline, self.suffix = ",", "utf-8", "\n", ".csv"
        self.header, self.quote_all, self.trailing, self.gzip = True, False, False, False
        self.above: list[str] = []
        self.below: list[str] = []
        self.files_of = 1
        self.split_files = False

    def truth(self) -> Counter[Row]:
        return Counter(row for row in self.rows if row is not None)

    def files(self) -> dict[str, bytes]:
        if not self.split_files:
            return {f"table{self.suffix}": self.render(range(len(self.cells)))}
        files = {}
        for split in ("train", "validation", "test"):
            numbers = [number for number, row in enumerate(self.rows) if row is not None and row[0] == split]
            for part in range(self.files_of):
                name = f"{split}-{part:05d}-of-{self.files_of:05d}" if self.files_of > 1 else split
                files[name + self.suffix] = self.render(numbers[part :: self.files_of])
        return files

    def render(self, numbers: Sequence[int]) -> bytes:
        end = [""] if self.trailing else []
        rows = [[*(self.cells[number].get(column, "") for column in self.columns), *end] for number in numbers]
        rows = [[*self.columns, *end], *rows] if self.header else rows
        text = "".join(line + self.newline for line in [*self.above, *map(self._line, rows)])
        content = (text + "".join(line + self.newline for line in self.below)).encode(self.encoding)
        return gzip.compress(content) if self.gzip else content

    def _line(self, cells: Sequence[str]) -> str:
        """A row; the writer puts a cell in quotation marks for the line ends that it writes itself: here, for both."""
        out = io.StringIO()
        quoting: Literal[0, 1] = csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL
        csv.writer(out, delimiter=self.delimiter, lineterminator="\r\n", quoting=quoting).writerow(cells)
        return out.getvalue().removesuffix("\r\n")


class Texts(Sheet):
    """Texts and labels."""

    task: ClassVar[str] = "text-classification"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.columns = ["text", "label"]
        labels = rng.choice(LABELS)
        for number in range(60):
            text = sentence(rng, number) + rng.choice((".", ", he said", ' "so"', " - café", " für 5 €"))
            self.cells.append({"text": text, "label": (label := labels[number % len(labels)])})
            self.rows.append((None, label, text))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, sample.values["label"], sample.values["text"])

    def relabel(self, number: int, label: str, spelled: str | None = None) -> None:
        """Another label for a row, and how the file spells it."""
        row = self.rows[number]
        assert row is not None
        self.rows[number] = (row[0], label, *row[2:])
        self.cells[number]["label"] = label if spelled is None else spelled


class SoleTexts(Sheet):
    """Texts without labels."""

    task: ClassVar[str] = "text-generation"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.columns = ["text"]
        for number in range(60):
            text = sentence(rng, number, 9) + rng.choice((".", ", he said", " - café", " für 5 €"))
            self.cells.append({"text": text})
            self.rows.append((None, text))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, sample.values["text"])


class Values(Texts):
    """Series of eight values in a row, and a label."""

    task: ClassVar[str] = "series-classification"

    def __init__(self, rng: random.Random) -> None:
        Sheet.__init__(self, rng)
        self.columns = [*(f"v{k}" for k in range(8)), "label"]
        labels = rng.choice(LABELS)
        for number in range(60):
            values = [round(rng.uniform(-2000, 3000), 3) for _ in range(8)]
            spelled = {f"v{k}": repr(value) for k, value in enumerate(values)}
            self.cells.append({**spelled, "label": (label := labels[number % len(labels)])})
            self.rows.append((None, label, *values))

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        values = (None if value != value else round(float(value), 6) for value in sample.values["values"])
        return (sample.split, sample.values["label"], *values)


def set_(**values: Any) -> Mutation:
    """A mutation that sets attributes."""

    def mutate(data: Sheet) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def comments(data: Sheet) -> None:
    data.above = ["# exported by a tool", "# version 3"]


def preamble(data: Sheet) -> None:
    data.above = ["Report of the station", "", "Source: own data"]


def id_column(data: Sheet) -> None:
    data.columns.insert(0, data.rng.choice(("id", "", "index")))
    for number, cells in enumerate(data.cells):
        cells[data.columns[0]] = str(number)


def upper_header(data: Sheet) -> None:
    names = {column: f" {column.title()} " for column in data.columns}
    data.columns = list(names.values())
    data.cells = [{names[key]: value for key, value in cells.items()} for cells in data.cells]


def _split_rows(data: Sheet) -> None:
    for number, row in enumerate(data.rows):
        assert row is not None
        split = ("train", "train", "train", "validation", "test")[number // 3 % 5]
        data.rows[number] = (split, *row[1:])


def split_column(data: Sheet) -> None:
    _split_rows(data)
    data.columns.append("split")
    for cells, row in zip(data.cells, data.rows, strict=True):
        assert row is not None
        cells["split"] = "dev" if row[0] == "validation" else str(row[0])


def split_files(data: Sheet) -> None:
    _split_rows(data)
    data.split_files = True


def shards(data: Sheet) -> None:
    split_files(data)
    data.files_of = 2


def blank_lines(data: Sheet) -> None:
    data.below += ["", ""]


def ragged(data: Sheet) -> None:
    data.below += [data.delimiter.join(["x"] * (len(data.columns) + 2))]
    data.must.append(("cells", "below the last row"))  # another delimiter may come after it: then it is one cell


def long_field(data: Sheet) -> None:
    text = data.cells[5]["text"] + " and so on" * 20_000
    row = data.rows[5]
    assert row is not None
    data.cells[5]["text"], data.rows[5] = text, (*row[:-1], text)


def quoted_breaks(data: Sheet) -> None:
    for number in some(data.rng, range(len(data.cells))):
        text, row = data.cells[number]["text"] + "\nsecond line", data.rows[number]
        assert row is not None
        data.cells[number]["text"], data.rows[number] = text, (*row[:-1], text)


def doubled(data: Sheet) -> None:
    for number in range(3):
        data.cells.append(dict(data.cells[number]))
        data.rows.append(data.rows[number])


def empty_text(data: Sheet) -> None:
    row = data.rows[4]
    assert row is not None
    data.cells[4]["text"], data.rows[4] = "", None
    data.words += ["empty", "left out"]


DIALECTS: dict[str, Mutation] = {
    "delimiter ;": set_(delimiter=";"),
    "delimiter tab": set_(delimiter="\t"),
    "delimiter |": set_(delimiter="|"),
    ".tsv": set_(delimiter="\t", suffix=".tsv"),
    "cp1252": set_(encoding="cp1252"),
    "UTF-16": set_(encoding="utf-16"),
    "byte order mark": set_(encoding="utf-8-sig"),
    "CR": set_(newline="\r"),
    "CRLF": set_(newline="\r\n"),
    "all cells quoted": set_(quote_all=True),
    "trailing delimiters": set_(trailing=True),
    "gzip": set_(gzip=True, suffix=".csv.gz"),
    "comments": comments,
    "preamble": preamble,
    "blank lines at the end": blank_lines,
    "a row of other length": ragged,
    "names in capitals and blanks": upper_header,
    "id column": id_column,
}
_ROWS: dict[str, Mutation] = {"split column": split_column, "a file a split": split_files, "shards": shards}


def _spelled(form: Any) -> Mutation:
    """The file spells some labels otherwise; they are the same labels."""

    def mutate(data: Texts) -> None:
        for number in some(data.rng, range(len(data.rows)), 0.4):
            label = data.cells[number]["label"]
            data.cells[number]["label"] = form(label)

    return mutate


def _case_variants(data: Texts) -> None:
    for number in some(data.rng, range(len(data.rows))):
        data.relabel(number, data.cells[number]["label"].upper())
    data.must.append(("look alike",))


def _numbers(form: str) -> Mutation:
    def mutate(data: Texts) -> None:
        names = sorted({cells["label"] for cells in data.cells})
        for number, cells in enumerate(data.cells):
            place = names.index(cells["label"])
            data.relabel(number, form.format(place), form.format(place))
        data.words += ["whole number", "1.0"]

    return mutate


def _empty_labels(share: float) -> Mutation:
    def mutate(data: Texts) -> None:
        for number in some(data.rng, range(len(data.rows)), share):
            data.cells[number]["label"], data.rows[number] = data.rng.choice(("", "  ")), None
        data.must.append(("no label",))

    return mutate


def _missing_words_as_labels(data: Texts) -> None:
    word = data.rng.choice(("NA", "null", "None", "nan"))
    first = data.cells[0]["label"]
    for number, cells in enumerate(data.cells):
        if cells["label"] == first:
            data.relabel(number, word)


def _conflict(data: Texts) -> None:
    for number in range(2):
        row, other = data.rows[number], data.cells[number + 1]["label"]
        assert row is not None
        data.cells.append({**data.cells[number], "label": other})
        data.rows.append((row[0], other, *row[2:]))
    data.must.append(("another label",))


def _rare(data: Texts) -> None:
    data.relabel(7, "rare")
    data.must.append(("fewer than", "rare"))


def _single(data: Texts) -> None:
    for number in range(len(data.rows)):
        data.relabel(number, "only")
    data.must.append(("single class",))


def _copies_across(data: Texts) -> None:
    split_column(data)
    for number in (0, 1):
        row = data.rows[number]
        assert row is not None
        data.cells.append({**data.cells[number], "split": "test"})
        data.rows.append(("test", *row[1:]))
    data.must.append(("stand in two splits",))


def _extra_column(data: Sheet) -> None:
    data.columns.append("remark")
    for cells in data.cells:
        cells["remark"] = data.rng.choice(("", "seen", "to do"))
    data.must.append(("remark",))


_LABELS: dict[str, Mutation] = {
    **DIALECTS,
    **_ROWS,
    "labels in NFD": _spelled(lambda label: unicodedata.normalize("NFD", label)),
    "blanks around labels": _spelled(lambda label: f" {label}  "),
    "line ends around labels": _spelled(lambda label: f"{label}\n"),
    "case variants": _case_variants,
    "whole numbers as labels": _numbers("{}"),
    "float labels": _numbers("{}.0"),
    "few empty labels": _empty_labels(0.05),
    "many empty labels": _empty_labels(0.3),
    "words for nothing as labels": _missing_words_as_labels,
    "conflicting labels": _conflict,
    "one sample in a class": _rare,
    "a single class": _single,
    "copies across splits": _copies_across,
    "doubled rows": doubled,
}
_TEXTS = {"long field": long_field, "line breaks in quotes": quoted_breaks, "empty text": empty_text}
Texts.mutations = {**_LABELS, **_TEXTS, "another column": _extra_column}
SoleTexts.mutations = {**DIALECTS, **_ROWS, **_TEXTS}


def decimal_comma(data: Sheet) -> None:
    """Numbers as in a spreadsheet of Germany."""
    data.delimiter = data.rng.choice((";", "\t"))
    _respell(data, lambda text: text.replace(".", ","))


def thousands(data: Sheet) -> None:
    """1,234.5 in quotation marks."""
    _respell(data, lambda text: f"{float(text):,.3f}")


def german_thousands(data: Sheet) -> None:
    data.delimiter = ";"
    _respell(data, lambda text: f"{float(text):,.3f}".translate(str.maketrans(",.", ".,")))


def hole(data: Sheet) -> None:
    """Empty cells."""
    _missing(data, "")


def words_for_nothing(data: Sheet) -> None:
    """NA, ? and their like in the place of numbers."""
    _missing(data, data.rng.choice(("NA", "?", "n/a", "-", "NaN")))


def sentinel(data: Sheet) -> None:
    """A number that stands for none."""
    _missing(data, data.rng.choice(("-99999", "-99999.0")))
    data.words += ["far from"]


def _numbers_of(data: Sheet) -> list[str]:
    return [name for name in data.columns if name.strip()[:1].lower() == "v"]


def _respell(data: Sheet, spell: Any) -> None:
    for cells in data.cells:
        for name in _numbers_of(data):
            if cells[name].lstrip("-").replace(".", "", 1).isdigit():
                cells[name] = spell(cells[name])


def _missing(data: Sheet, text: str) -> None:
    names = _numbers_of(data)
    for number in data.rng.sample(range(5, len(data.rows)), 2):
        row, place = data.rows[number], data.rng.randrange(len(names))
        assert row is not None
        before = list(row)
        before[len(row) - len(names) + place] = None
        data.cells[number][names[place]], data.rows[number] = text, tuple(before)


NUMBERS: dict[str, Mutation] = {
    "decimal comma": decimal_comma,
    "thousands": thousands,
    "decimal comma and thousands": german_thousands,
    "holes": hole,
    "words for a missing value": words_for_nothing,
    "sentinel": sentinel,
}
Values.mutations = {**_LABELS, **NUMBERS}
