"""What a draft recognises in tables as they are met, what it refuses by name, and that ingestion reads the same."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts.table_layout import TableLayout
from components.core.errors import SourceError
from components.drafting import columns, encoding, steps
from components.drafting.columns import TableColumns
from components.ingestion import table
from components.ingestion.sample import Sample

START = datetime.datetime(2023, 1, 1)
HOUR = datetime.timedelta(hours=1)
WORDS = ("the soup was warm", "a lamp was dull")


def put(folder: Path, lines: list[str], name: str = "t.csv", coding: str = "utf-8", end: str = "\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode(coding))
    return path


def texts(mark: str = ",", count: int = 40) -> list[str]:
    return [f"text{mark}label", *(f"{WORDS[i % 2]} süß {i}{mark}{'good' if i % 2 else 'bad'}" for i in range(count))]


def series(
    count: int = 60,
    form: Callable[[datetime.datetime], str] = str,
    step: datetime.timedelta = HOUR,
    start: datetime.datetime = START,
) -> list[str]:
    rows = (f"{form(start + i * step)},{math.sin(i):.3f},{50 + math.cos(i):.2f}" for i in range(count))
    return ["time,load,heat", *rows]


def recognised(path: Path, kind: str = "csv") -> tuple[TableColumns, list[Sample]]:
    """The draft, and the samples that ingestion reads with it."""
    found = columns.recognise(path, kind)
    layout = {"kind": kind, "files": {"": path.name}, **found.layout}
    return found, list(table.samples(TableLayout.model_validate_json(json.dumps(layout)), path.parent, lambda _: None))


def refused(path: Path, kind: str = "csv") -> SourceError:
    with pytest.raises(SourceError) as caught:
        columns.recognise(path, kind)
    return caught.value


# How a file is written


@pytest.mark.parametrize(
    ("mark", "coding", "end", "keys"),
    [
        (",", "utf-8", "\n", {}),
        (",", "utf-8-sig", "\r\n", {}),
        (",", "utf-8", "\r", {}),
        (";", "utf-8", "\n", {"delimiter": ";"}),
        ("|", "utf-8", "\n", {"delimiter": "|"}),
        ("\t", "utf-16", "\r\n", {"delimiter": "\t", "encoding": "utf-16"}),
        (",", "utf-16-le", "\n", {"encoding": "utf-16-le"}),
        (",", "utf-32", "\n", {"encoding": "utf-32"}),
        (";", "cp1252", "\r\n", {"delimiter": ";", "encoding": "cp1252"}),
    ],
)
def test_delimiters_encodings_and_line_ends(
    mark: str, coding: str, end: str, keys: dict[str, Any], tmp_path: Path
) -> None:
    found, samples = recognised(put(tmp_path, texts(mark), coding=coding, end=end))
    assert found.layout == {**keys, "text": "text", "label": "label"}
    assert len(samples) == 40
    assert samples[0].values == {"text": "the soup was warm süß 0", "label": "bad"}
    assert ("a guess" in found.why) == (coding in ("cp1252", "utf-16-le"))


@pytest.mark.parametrize(
    ("text", "coding"),
    [
        ("Die Straße für 51 € „wunderschön“", "cp1252"),
        ("un café crème déjà vu, naïve", "cp1252"),
        ("привет как дела хорошо", "cp1251"),
        ("今天天气很好我们去公园", "gb18030"),
        ("今日は天気がいいですね", "shift_jis"),
        ("zażółć gęślą jaźń", "cp1250"),
    ],
)
def test_a_guess_is_said_to_be_one(text: str, coding: str, tmp_path: Path) -> None:
    path = put(tmp_path, [f"{text} {i}" for i in range(60)], coding=coding)
    found = encoding.recognise(path)
    assert (found.name, "guess" in found.note) == (coding, True)


def test_a_few_damaged_bytes_are_no_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(texts()).encode() + b"\nsch\xf6n,bad\n")
    found, samples = recognised(path)
    assert "encoding" not in found.layout
    assert "1 damaged" in found.why
    assert samples[-1].values["text"] == "sch\ufffdn"


@pytest.mark.parametrize(
    ("above", "below", "keys"),
    [
        (["# station: x", "# unit: K, of old"], [], {"comment": "#"}),
        (["Data Source,x,", "", "Updated,2024-01-31,", ""], ['"Total: 60"'], {"skip_lines": 4, "skip_last_lines": 1}),
        (["sep=,"], [], {"skip_lines": 1}),
        (["Report of the station", ""], ["", "source: station"], {"skip_lines": 2}),
    ],
)
def test_what_is_above_the_header_and_below_the_rows(
    above: list[str], below: list[str], keys: dict[str, Any], tmp_path: Path
) -> None:
    found, samples = recognised(put(tmp_path, [*above, *series(), *below]))
    assert {key: found.layout.get(key) for key in keys} == keys
    assert len(samples) == 60


def test_rows_of_another_length_are_refused_with_their_line(tmp_path: Path) -> None:
    lines = series()
    lines[30] += ",1"
    assert str(refused(put(tmp_path, lines)).where).endswith("line 31")
    cut = [*series(), "2023-01-0"]
    assert str(refused(put(tmp_path, cut)).where).endswith("line 62")


def test_texts_that_begin_with_a_hash_are_no_comments(tmp_path: Path) -> None:
    lines = [f"#{word} is {i},{'good' if i % 2 else 'bad'}" for i, word in enumerate(WORDS * 20)]
    found, samples = recognised(put(tmp_path, ["text,label", *lines]))
    assert "comment" not in found.layout
    assert len(samples) == 40


# Several files


def test_files_of_a_split_and_files_that_differ(tmp_path: Path) -> None:
    paths = [put(tmp_path, texts(), "a.csv"), put(tmp_path, texts(), "b.csv")]
    found = columns.recognise({"train": paths, "test": [put(tmp_path, texts(), "c.csv")]}, "csv")
    assert found.layout == {"text": "text", "label": "label"}
    odd = put(tmp_path, [line.replace("label", "tag", 1) for line in texts()], "odd.csv")
    with pytest.raises(SourceError, match="different columns") as caught:
        columns.recognise([*paths, odd], "csv")
    assert (str(caught.value.where), caught.value.got) == (str(odd), "without label; with tag")
    other = put(tmp_path, texts(";"), "other.csv")
    with pytest.raises(SourceError, match="not written alike"):
        columns.recognise([*paths, other], "csv")


def test_classes_in_the_metadata_of_parquet(tmp_path: Path) -> None:
    features = {"text": {}, "label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    rows = pa.table({"text": [f"{WORDS[i % 2]} {i}" for i in range(40)], "label": [i % 2 for i in range(40)]})
    pq.write_table(rows.replace_schema_metadata(metadata), tmp_path / "t.parquet")
    found, samples = recognised(tmp_path / "t.parquet", "parquet")
    assert found.layout["classes"] == ["bad", "good"]
    assert samples[1].values["label"] == "good"


# Columns


def test_every_column_that_is_left_out_has_a_reason(tmp_path: Path) -> None:
    head, *rows = texts()
    lines = [f"id,{head},stars,nothing,part", *(f"{i},{row},{i % 5},,x{i}" for i, row in enumerate(rows))]
    found, _ = recognised(put(tmp_path, lines))
    assert [name for name, _ in found.left_out] == ["nothing", "id", "stars", "part"]
    assert dict(found.left_out)["id"] == "an identity"
    assert "columns left out: nothing: empty; id: an identity" in found.text


def test_a_column_of_splits(tmp_path: Path) -> None:
    head, *rows = texts()
    lines = [f"{head},set", *(f"{row},{('train', 'dev', 'test')[i % 3]}" for i, row in enumerate(rows))]
    found, samples = recognised(put(tmp_path, lines))
    assert found.layout["split"] == "set"
    assert {sample.split for sample in samples} == {"train", "validation", "test"}
    folds = [f"{head},fold", *(f"{row},{i % 3}" for i, row in enumerate(rows))]
    assert "split" not in recognised(put(tmp_path, folds))[0].layout


@pytest.mark.parametrize(
    ("cell", "folder", "suffix", "keys"),
    [
        ("pictures/{}.jpg", "pictures", ".jpg", {}),
        ("{}.jpg", "images", ".jpg", {"image_folder": "images"}),
        ("{}", "train", ".png", {"image_folder": "train", "image_suffix": ".png"}),
        ("sub\\{}", "data/sub", ".jpg", {"image_folder": "data", "image_suffix": ".jpg"}),
    ],
)
def test_a_column_of_images(cell: str, folder: str, suffix: str, keys: dict[str, str], tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path, [str(number)], f"{folder}/{number:04x}{suffix}")
    lines = [
        "id,breed",
        *(f"{cell.format(f'{number:04x}')},{'pug' if number % 2 else 'dingo'}" for number in range(12)),
    ]
    found, samples = recognised(put(tmp_path, lines))
    assert found.layout == {"image": "id", "label": "breed", **keys}
    assert samples[3].values == {"image": b"3\n", "label": "pug"}


def test_images_beside_one_quantity_are_a_regression_whatever_its_name(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path / "images", [str(number)], f"{number}.jpg")
    rows = [f"{i}.jpg,{i / 7:.2f},{i * 0.3 + 1:.1f}" for i in range(40)]
    path = put(tmp_path, ["file,brightness", *(row.rpartition(",")[0] for row in rows)])
    found = columns.recognise(path, "csv", tmp_path)
    assert (found.layout["image"], found.layout["target"], found.layout["label"]) == ("file", "brightness", None)
    two = refused(put(tmp_path, ["file,brightness,contrast", *rows], "two.csv"))
    assert "paths of images (file), and no column that is clearly" in two.what
    assert (two.got, two.next_step) == ("brightness, contrast", "name it: --label COLUMN")


@pytest.mark.parametrize("empty", [2, 20])
def test_rows_without_label_are_left_out_if_they_are_few(empty: int, tmp_path: Path) -> None:
    lines = [line if i > empty or not i else line.rpartition(",")[0] + "," for i, line in enumerate(texts())]
    path = put(tmp_path, lines)
    if empty == 20:
        assert "20 of 40 rows" in str(refused(path).got)
        return
    found, samples = recognised(path)
    assert found.layout["unlabelled"] == "leave_out"
    assert "2 of 40 rows have no label and are left out (t.csv line 2, t.csv line 3)" in found.why
    assert len(samples) == 38


def test_words_for_a_missing_value_keep_the_column(tmp_path: Path) -> None:
    lines = series()
    for row, word in ((5, "?"), (9, "NaN"), (11, "n/a"), (12, "?")):
        cells = lines[row].split(",")
        lines[row] = f"{cells[0]},{word},{cells[2]}"
    found, samples = recognised(put(tmp_path, lines))
    assert found.layout["values"] == ["load", "heat"]
    assert found.layout["missing_values"] == ["?", "NaN", "n/a"]
    assert "? (2 cells), NaN (1 cells)" in found.why
    assert sum(math.isnan(sample.values["values"][0]) for sample in samples) == 4


def test_a_column_with_many_missing_values_is_kept(tmp_path: Path) -> None:
    lines = [line if i % 3 or not i else f"{line.rpartition(',')[0]},NA" for i, line in enumerate(series())]
    found, _ = recognised(put(tmp_path, lines))
    assert (found.layout["values"], found.layout["missing_values"]) == (["load", "heat"], ["NA"])
    assert "NA (20 cells)" in found.why


def test_a_table_of_a_european_spreadsheet(tmp_path: Path) -> None:
    days = (f"{START + i * datetime.timedelta(days=1):%d.%m.%Y};{i + 1}.{i + 100},{i % 10}" for i in range(60))
    found, samples = recognised(put(tmp_path, ["sep=;", "Größe am;Wert", *days], coding="cp1252"))
    assert found.layout == {
        "encoding": "cp1252", "delimiter": ";", "skip_lines": 1, "time": "Größe am", "values": ["Wert"], "label": None,
        "time_format": "%d.%m.%Y", "decimal": ",", "thousands": ".",
    }  # fmt: skip
    assert samples[1].values["values"].tolist() == [2101.1]


@pytest.mark.parametrize(
    ("head", "cells", "words"),
    [
        ("date,load", lambda i: f"{2000 + i // 4}-Q{i % 4 + 1},{i}", "times of the column date are not read"),
        ("date,load", lambda i: f"{43831 + i},{i}", "times of the column date are not read"),
        ("date,time,load", lambda i: f"2020-01-{i // 24 + 1:02},{i % 24}:00,{i}", "the time is in two columns"),
        ("date,load", lambda i: f"2020-01-{i + 1:02},{'low' if i == 7 else i}", "columns are not recognised"),
        ("date,load", lambda i: f"{'2020-01' if i % 2 else 'in'} {i},{'K' if i == 0 else i}", "not recognised"),
    ],
)
def test_series_that_are_not_read_are_no_texts(
    head: str, cells: Callable[[int], str], words: str, tmp_path: Path
) -> None:
    assert words in refused(put(tmp_path, [head, *(cells(i) for i in range(28))])).what


@pytest.mark.parametrize(
    ("numbers", "mark", "keys"),
    [
        ([f"{i},5" for i in range(60)], ";", {"decimal": ","}),
        ([f'"{i + 1},234.5"' for i in range(60)], ",", {"thousands": ","}),
        ([f"1.{i + 100},5" for i in range(60)], ";", {"decimal": ",", "thousands": "."}),
    ],
)
def test_marks_of_numbers(numbers: list[str], mark: str, keys: dict[str, str], tmp_path: Path) -> None:
    lines = [f"time{mark}load", *(f"{START + i * HOUR}{mark}{number}" for i, number in enumerate(numbers))]
    found, _ = recognised(put(tmp_path, lines))
    assert {key: found.layout.get(key) for key in ("decimal", "thousands")} == {
        "decimal": None,
        "thousands": None,
        **keys,
    }


def test_marks_that_could_be_either_are_asked_for(tmp_path: Path) -> None:
    lines = ["time;load", *(f"{START + i * HOUR};1,{100 + i}" for i in range(60))]
    error = refused(put(tmp_path, lines))
    assert "can be read in two ways" in error.what
    assert "1,100: 1.1 or 1100?" in str(error.got)


# Times


@pytest.mark.parametrize(
    ("form", "time_format"),
    [
        (str, None), (lambda time: f"{time:%Y-%m-%dT%H:%M:%S}Z", None), (lambda time: f"{time:%Y/%m/%d %H:%M}", None),
        (lambda time: f"{time} UTC", None), (lambda time: f"{time:%d/%m/%Y %H:%M}", "%d/%m/%Y %H:%M"),
        (lambda time: f"{time:%m/%d/%Y %I:%M %p}", "%m/%d/%Y %I:%M %p"),
        (lambda time: f"{time:%d.%m.%y %H:%M}", "%d.%m.%y %H:%M"),
        (lambda time: f"{time:%d %b %Y %H:%M}", "%d %b %Y %H:%M"),
        (lambda time: f"{time:%d-%m-%Y %H:%M}+02:00", "%d-%m-%Y %H:%M%z"),
        (lambda time: f"{(time - datetime.datetime(1970, 1, 1)).total_seconds():.0f}", "epoch_seconds"),
        (lambda time: f"{(time - datetime.datetime(1970, 1, 1)).total_seconds() * 1000:.0f}", "epoch_milliseconds"),
    ],
)  # fmt: skip
def test_times_of_every_hour(form: Callable[[datetime.datetime], str], time_format: str | None, tmp_path: Path) -> None:
    found, samples = recognised(put(tmp_path, series(400, form)))
    assert found.layout.get("time_format") == time_format
    assert len(samples) == 400
    assert "a row every hour" in found.why


def test_a_series_of_years_may_begin_long_ago(tmp_path: Path) -> None:
    found, samples = recognised(put(tmp_path, ["YEAR,spots", *(f"{1700 + i},{i % 11}" for i in range(60))]))
    assert (found.layout["time"], found.layout["time_format"], len(samples)) == ("YEAR", "%Y", 60)


@pytest.mark.parametrize(
    ("form", "step", "text"),
    [
        (lambda time: f"{time:%Y%m%d}", datetime.timedelta(days=1), "every day"),
        (lambda time: f"{time:%b-%d-%Y}", datetime.timedelta(days=1), "every day"),
        (lambda time: f"{time:%Y-%m}", datetime.timedelta(days=30.4369), "every month"),
        (lambda time: f"{time:%Y %b}", datetime.timedelta(days=30.4369), "every month"),
        (lambda time: f"{time:%Y-%b}", datetime.timedelta(days=30.4369), "every month"),
        (lambda time: f"{time:%Y}", datetime.timedelta(days=365.2425), "every 12 months"),
    ],
)
def test_days_months_and_years(
    form: Callable[[datetime.datetime], str], step: datetime.timedelta, text: str, tmp_path: Path
) -> None:
    start = datetime.datetime(1960, 1, 15)
    found, samples = recognised(put(tmp_path, series(60, form, step, start)))
    assert text in found.why
    assert len(samples) == 60


@pytest.mark.slow
def test_a_day_is_told_from_a_month_by_a_row_that_proves_it(tmp_path: Path) -> None:
    early = series(12, lambda time: f"{time:%d/%m/%Y}", datetime.timedelta(days=1))
    error = refused(put(tmp_path, early))
    assert "can be read in two ways" in error.what
    assert "02/01/2023: 2023-01-02 00:00:00 (%d/%m/%Y) or 2023-02-01 00:00:00 (%m/%d/%Y)?" in str(error.got)
    late = series(
        3000, lambda time: f"{time:%d/%m/%Y %H:%M}", datetime.timedelta(minutes=7)
    )  # the 13th: after row 2,400
    assert recognised(put(tmp_path, late))[0].layout["time_format"] == "%d/%m/%Y %H:%M"


def test_names_of_zones_are_refused_by_name(tmp_path: Path) -> None:
    error = refused(
        put(tmp_path, series(60, lambda time: f"{time:%d-%m-%Y %H:%M} {'CEST' if time.day > 2 else 'CET'}"))
    )
    assert "name of a zone" in error.what
    assert "CEST, CET" in str(error.got)


def test_an_unread_date_in_a_table_of_texts_is_no_reason_to_refuse(tmp_path: Path) -> None:
    head, *rows = texts()
    found, _ = recognised(
        put(tmp_path, [f"{head},date", *(f"{row},0{i % 9 + 1}/02/2020" for i, row in enumerate(rows))])
    )
    assert found.layout == {"text": "text", "label": "label"}


# The series


def test_newest_first_is_turned_round(tmp_path: Path) -> None:
    head, *rows = series()
    found, samples = recognised(put(tmp_path, [head, *rows[::-1]]))
    assert found.layout["order"] == "newest_first"
    assert samples[0].values["time"] == str(START)


def test_disorder_doubles_and_daylight_saving_are_refused_with_their_line(tmp_path: Path) -> None:
    lines = series()
    error = refused(put(tmp_path, [*lines[:20], lines[30], *lines[20:30], *lines[31:]]))
    assert ("order of time" in error.what, str(error.where)[-7:]) == (True, "line 22")
    error = refused(put(tmp_path, [*lines[:20], lines[19], *lines[20:]]))
    assert (error.what, str(error.where)[-7:]) == ("a row stands twice", "line 21")
    berlin = [line.replace("2023-01-02 03", "2023-01-02 02") for line in lines]
    error = refused(put(tmp_path, berlin))
    assert error.what == "2023-01-02 02:00:00 stands twice: local time with daylight saving?"
    assert "UTC" in str(error.next_step)
    head, *rows = lines
    panel = [head, *(row for pair in zip(rows, [row + "9" for row in rows], strict=True) for row in pair)]
    assert "several series in one table" in refused(put(tmp_path, panel)).what


def test_gaps_holes_and_values_far_from_the_rest_are_said(tmp_path: Path) -> None:
    lines = series(200)
    lines[50] = lines[50].replace(f",{lines[50].split(',')[1]},", ",,")
    lines[60] = lines[60].replace(f",{lines[60].split(',')[1]},", ",-999,")
    found, _ = recognised(put(tmp_path, [*lines[:100], *lines[103:]]))
    assert "a row every hour, but for 1 steps: 2023-01-05 02:00:00 to 2023-01-05 06:00:00 (t.csv line 101)" in found.why
    assert "1 missing: load at 2023-01-03 01:00:00 (t.csv line 51)" in found.why
    assert "load is -999 in 1 rows, far from all other values" in found.why


@pytest.mark.parametrize(
    ("seconds", "bounds"),
    [
        ([3600.0 * i for i in range(50)], (3600, 3600)),
        ([3600.0 * i for i in range(50) if i not in (20, 21)], (3600, 3600)),
        ([3600.0 * i + (i * 37 % 90) for i in range(50)], (0.5, 1.5)),
    ],
)
def test_the_usual_step_is_not_the_gaps(seconds: list[float], bounds: tuple[float, float]) -> None:
    rule = steps.usual(seconds)
    assert rule is not None
    if bounds[0] < 1:
        assert 1700 < rule.low < 1900
        assert 5200 < rule.high < 5600
    else:
        assert (rule.low, rule.high) == bounds


def test_empty_last_cells_and_decimal_commas_do_not_hide_the_delimiter(tmp_path: Path) -> None:
    labels = ["" if i % 12 == 5 else ("good", "bad")[i % 2] for i in range(60)]
    rows = [f"{i};1{i % 10},5;{WORDS[i % 2]} {i};{label}" for i, label in enumerate(labels)]
    found = columns.recognise(put(tmp_path, ["number;weight;text;label", *rows]), "csv")
    assert found.layout["delimiter"] == ";"
    assert (found.layout["text"], found.layout["label"]) == ("text", "label")
    assert "5 of 60 rows have no label" in found.why


def test_numbers_that_are_written_in_several_ways_are_named(tmp_path: Path) -> None:
    head = ["day;price;count;place"]
    mixed = [f"2024-01-{i + 1:02};{i + 1}.234,5{'' if i % 5 else 0};{i + 1}.250;{'ab'[i % 2]}" for i in range(25)]
    with pytest.raises(SourceError, match="numbers that are written in several ways") as caught:
        columns.recognise(put(tmp_path, head + mixed), "csv")
    assert "price: 1.234,50 is a number with the decimal mark ',' and the mark of thousands '.'" in str(
        caught.value.got
    )
    assert "1.250 (count) would be 1250" in str(caught.value.got)
    points = [line.replace("5.234,50", "5234.50").replace("6.234,50", "6234.50") for line in mixed]
    with pytest.raises(SourceError, match="numbers that are written in several ways") as caught:
        columns.recognise(put(tmp_path, head + points, "p.csv"), "csv")
    assert "and 6234.50 is none" in str(caught.value.got)


def test_commas_without_quotation_marks_cut_no_text_in_two(tmp_path: Path) -> None:
    for forms in (("the soup, and more", "a lamp, dull"), ("one, two, three", "none")):
        lines = [f"{forms[i % 2]} {i}" for i in range(40)]
        found = columns.recognise(path := put(tmp_path, ["text", *lines]), "csv")
        assert "commas are parts of its cells" in found.why
        layout = TableLayout(kind="csv", files={"": path.name}, **found.layout)
        assert [sample.values["text"] for sample in table.samples(layout, tmp_path)] == lines
    rows = [f"the soup, and more {i},{'good' if i % 2 else 'bad'}" for i in range(40)]
    with pytest.raises(SourceError, match="more cells than the header names") as caught:
        columns.recognise(put(tmp_path, ["text,label", *rows]), "csv")
    assert str(caught.value.where).endswith("line 2")
    with pytest.raises(SourceError, match="more cells than the header names"):
        columns.recognise(put(tmp_path, ["id,text", *(f"{i},a lamp, dull {i}" for i in range(40))]), "csv")
