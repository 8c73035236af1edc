"""Rows of CSV where a wrong one hides no other, against the csv module; and cuts that depend on the input alone."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from components.contracts.table_layout import TableLayout
from components.ingestion.dialect import Dialect
from components.scoring import piece, pieces
from components.scoring.records import CsvRecord, Lines, records
from components.scoring.samples import _lines
from components.scoring.sources import ScoreSource
from components.scoring.table_form import TableForm


def read(text: str, **dialect: object) -> list[CsvRecord]:
    return list(records(Dialect(**dialect), Lines(io.StringIO(text, newline=""), 1)))  # type: ignore[arg-type]


def test_rows_have_the_cells_of_the_csv_module_and_their_lines() -> None:
    text = 'a,b\r\n"x, y","1\n2"\n\n"he said ""no""",3\r\n'
    found = read(text)
    assert [record.cells for record in found] == [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    assert [record.line for record in found] == [1, 2, 5]


def test_an_open_quotation_mark_takes_no_other_row_along() -> None:
    found = read('1,a\n2,"b\n3,c\n4,"d"\n5,e\n')
    assert [record.line for record in found] == [1, 2, 3, 4, 5]
    assert [record.cells for record in found] == [["1", "a"], None, ["3", "c"], ["4", "d"], ["5", "e"]]


def test_text_after_a_closed_quotation_mark_is_one_wrong_row() -> None:
    found = read('1,"a"b\n2,"c"\n')
    assert [(record.line, record.cells) for record in found] == [(1, None), (2, ["2", "c"])]
    assert found[0].problem


def test_a_quotation_mark_in_a_comment_opens_nothing() -> None:
    found = read('# "x\n1,a\n#,"y\n2,b\n', comment="#")
    assert [(record.line, record.cells) for record in found] == [(2, ["1", "a"]), (4, ["2", "b"])]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_hold_all_rows_with_their_lines(
    newline: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at 40 characters, the rows are those of the whole text: cells with line ends and open marks included."""
    monkeypatch.setattr(piece, "TEXT_CHARACTERS", (40, 40))
    monkeypatch.setattr(pieces, "TEXT_CHARACTERS", (40, 40))
    rng = random.Random(seed)  # noqa: S311  # rows to try
    cells = [
        "x",
        '"a, b"',
        f'"two{newline}lines"',
        '"say ""so"""',
        "",
        '"open' if seed % 2 else "y",
        "longer text here",
    ]
    rows = [",".join(rng.choice(cells) for _ in range(rng.randint(1, 3))) for _ in range(200)]
    text = f"k,v{newline}" + newline.join(rows) + (newline if seed % 3 else "")
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    layout = TableLayout(files={"": "t.csv"}, kind="csv", label=None, text="v")
    form = TableForm("csv", layout, [["k", "v"]], "cell", ["v"], ["k"], [])
    source = ScoreSource("tables", [str(path)], ["t.csv"], form)
    cut = list(pieces.of(source))
    found = [record for one in cut for record in records(form.dialect, Lines(_lines(one.content, ""), one.first))]
    assert found == read(text)[1:]
    assert len(cut) > 10
    assert [one.number for one in cut] == list(range(len(cut)))


def test_lines_below_the_rows_are_left_out_wherever_the_cuts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("k,v\n" + "".join(f"{number},x\n" for number in range(50)) + "total,50\nend,1\n")
    layout = TableLayout(files={"": "t.csv"}, kind="csv", label=None, text="v", skip_last_lines=2)
    source = ScoreSource(
        "tables", [str(path)], ["t.csv"], TableForm("csv", layout, [["k", "v"]], "cell", ["v"], [], [])
    )
    for characters in range(3, 60, 4):
        monkeypatch.setattr(pieces, "TEXT_CHARACTERS", (characters, characters))
        text = "".join(one.content for one in pieces.of(source))
        assert text == "".join(f"{number},x\n" for number in range(50)), characters
