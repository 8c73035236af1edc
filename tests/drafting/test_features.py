"""Tables of features are recognised: which column is the label, which columns are features, and what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from components.contracts.dataset import DatasetSpec
from components.core.errors import SourceError
from components.core.project import Project
from components.drafting import draft, expectations, label_column
from components.drafting.cells import Column, unit
from components.drafting.draft_options import DraftOptions
from components.drafting.feature_expectations import raw
from components.drafting.profile import Profile
from components.drafting.recognise import recognise
from flows.cli.new import new
from tests.drafting.test_draft import project as project
from tests.drafting.test_recognise import PNG, parquet, put, table

JOBS = ("clerk", "smith", "cook")


def cells(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {"age": int(rng.integers(18, 90)), "size": round(float(rng.normal()), 3), "job": JOBS[number % 3],
            "town": ("Rome", "Oslo")[number % 2], "price": round(float(rng.uniform(1, 99)), 2),
            "Survived": number % 2, "species": ("a", "b", "c")[number % 3], "rings": number % 7,
            "Name": f"Braund, Mr. Owen {number}", "PassengerId": 100 + 3 * number}  # fmt: skip


def lines(*names: str, rows: int = 60) -> str:
    return table(rows, lambda i: ",".join(f'"{cells(i)[name]}"' for name in names), ",".join(names))


def found(folder: Path, text: str, **options: Any) -> tuple[str | None, dict[str, Any], str]:
    recognised = recognise(put(folder, {"a.csv": text}) / "a.csv", DraftOptions(**options))
    layout = {key: value for key, value in recognised.layout.items() if key not in ("kind", "files")}
    return recognised.task, layout, " ".join([recognised.why, *recognised.remarks])


@pytest.mark.parametrize(
    ("names", "task", "layout"),
    [
        (
            ("age", "size", "job", "Survived"),
            "tabular-classification",
            {"numbers": ["age", "size"], "categories": ["job"], "label": "Survived"},
        ),
        (
            ("age", "job", "town", "price"),
            "tabular-regression",
            {"numbers": ["age"], "categories": ["job", "town"], "label": None, "target": "price"},
        ),
        (("age", "size", "species"), "tabular-classification", {"numbers": ["age", "size"], "label": "species"}),
        (
            ("PassengerId", "Survived", "Name", "age", "job"),
            "tabular-classification",
            {"numbers": ["age"], "categories": ["job"], "label": "Survived"},
        ),
    ],
)
def test_the_label_is_told_by_its_name_or_place(
    names: tuple[str, ...], task: str, layout: dict[str, Any], tmp_path: Path
) -> None:
    assert found(tmp_path, lines(*names))[:2] == (task, layout)


def test_what_is_no_feature_is_said(tmp_path: Path) -> None:
    text = lines("PassengerId", "Name", "age", "job", "Survived")
    said = found(tmp_path, text.replace("\n", ',"x"\n').replace('Survived,"x"', "Survived,unit"))[2]
    for words in (
        "PassengerId is left out: an identity",
        "Name is left out: texts, 60 different",
        "unit is left out: constant: x",
    ):
        assert words in said


def test_what_is_not_clear_is_asked(tmp_path: Path) -> None:
    text = lines("age", "job", "town", "rings")
    with pytest.raises(SourceError, match="which column is the label") as caught:
        found(tmp_path, text)
    assert "--label COLUMN" in str(caught.value.next_step)
    assert "rings" in str(caught.value.got)
    with pytest.raises(SourceError, match="which column is the label") as caught:
        found(tmp_path, lines("age", "job", "price", "species"))
    assert caught.value.got == "price, species"
    task, layout, _ = found(tmp_path, text, label="rings")
    assert (task, layout["label"], layout["categories"]) == ("tabular-classification", "rings", ["job", "town"])
    fields = frozenset({"row", "target"})
    task, layout, _ = found(tmp_path, text, label="rings", fields=fields)
    assert (task, layout["target"]) == ("tabular-regression", "rings")
    with pytest.raises(SourceError, match="no column of numbers"):
        found(tmp_path, text, label="job", fields=fields)
    with pytest.raises(SourceError, match="no column ring"):
        found(tmp_path, text, label="ring")


@pytest.mark.parametrize(
    ("prefix", "count", "is_series"),
    [("t", 12, True), ("step_", 3, True), ("", 12, True), ("feature_", 12, False), ("x", 2, False), ("x", 40, True),
     ("Att", 40, False)],
)  # fmt: skip
def test_numbered_steps_of_one_quantity_are_a_series(prefix: str, count: int, is_series: bool, tmp_path: Path) -> None:
    head = ",".join([*(f"{prefix}{k}" for k in range(count)), "label"])
    text = table(60, lambda i: ",".join([*(f"{i * (k % 16 + 1) % 17}.5" for k in range(count)), "ab"[i % 2]]), head)
    task, _, said = found(tmp_path, text)
    assert task == ("series-classification" if is_series else "tabular-classification")
    assert "left out" not in said  # many columns are written as a prefix
    task, layout, _ = found(tmp_path, text, fields=frozenset({"values", "label"}))
    assert (task, layout["label"]) == ("series-classification", "label")
    assert found(tmp_path, text.replace("label", "price").replace(",a\n", ",1.5\n"), label="price")[0] is not None


@pytest.mark.parametrize(("first", "is_series"), [(0, True), (1, False)])
def test_a_few_columns_numbered_from_one_are_features(first: int, is_series: bool) -> None:
    assert label_column.are_steps([f"V{first + k}" for k in range(3)]) is is_series


def test_the_header_of_a_table_of_words_has_cells_that_no_row_has(tmp_path: Path) -> None:
    text = table(
        60, lambda i: f"{JOBS[i % 3]},{('Rome', 'Oslo')[i % 2]},{('yes', 'no')[i % 5 % 2]}", "job,town,survived"
    )
    task, layout, _ = found(tmp_path, text)
    assert (task, layout["label"], layout["categories"]) == ("tabular-classification", "survived", ["job", "town"])
    body = text.partition("\n")[2]
    assert found(tmp_path, body, label="column_2")[1]["columns"] == ["column_0", "column_1", "column_2"]


def test_a_quantity_beside_texts_images_and_series_is_a_target(tmp_path: Path) -> None:
    texts = table(60, lambda i: f"a fine text of number {i},{i * 1.37:.2f}", "review,price")
    task, layout, _ = found(tmp_path, texts)
    assert (task, layout) == ("text-regression", {"text": "review", "label": None, "target": "price"})
    steps = table(60, lambda i: f"{i}.5,{i % 7}.25,{i * 1.37:.2f}", "t0,t1,target")
    task, layout, _ = found(tmp_path, steps)
    assert (task, layout) == ("series-regression", {"values": ["t0", "t1"], "label": None, "target": "target"})
    images: dict[str, str | bytes] = {f"pictures/{i}.png": PNG for i in range(30)}
    put(tmp_path / "images", {**images, "a.csv": table(30, lambda i: f"pictures/{i}.png,{i * 1.37:.2f}", "file,value")})
    recognised = recognise(tmp_path / "images")
    assert (recognised.task, recognised.layout["target"]) == ("image-regression", "value")
    stars = table(60, lambda i: f"a fine text of number {i},{i % 5 + 1}", "review,label")
    assert found(tmp_path, stars)[0] == "text-classification"
    nested = parquet({"image": [PNG] * 30, "target": [i * 1.37 for i in range(30)]})
    assert recognise(put(tmp_path / "nested", {"a.parquet": nested}) / "a.parquet").task == "image-regression"


def test_a_time_with_a_class_is_a_table_of_features(tmp_path: Path) -> None:
    text = table(60, lambda i: f"{3600 * (i // 2)},{i % 9}.5,{i % 2}", "Time,V1,Class")
    assert found(tmp_path, text)[0] == "tabular-classification"


def test_a_draft_of_features_meets_its_data_and_makes_no_defect_its_norm(tmp_path: Path) -> None:
    root = put(tmp_path / "project", {"params.yaml": "datasets:\n  - none\n", "pipelines/keep": "", "data/keep": ""})
    text = lines("age", "size", "job", "Survived", rows=200)
    for old, new_ in (('"clerk"', '"?"'), ('"smith"', '"NA"')):
        text = text.replace(old, new_, 2)
    first, *rest = text.splitlines()
    rest[7] = rest[7].replace(rest[7].split(",")[1], '"-9999"')
    made = draft.write(Project(root), "things", put(tmp_path, {"a.csv": "\n".join([first, *rest])}) / "a.csv")
    said = " ".join((made.why, *made.notes))
    assert "words for a missing value: ? (2 cells), NA (2 cells)" in said
    assert "size is -9999 in 1 rows, far from all other values" in said
    assert "columns with missing values, which are marked as such: job (4)" in said
    suite = json.loads((root / "data" / "things" / "expectations.json").read_text())
    by_column = {(one["type"], one["kwargs"].get("column")): one["kwargs"] for one in suite["raw"]}
    sizes = by_column["expect_column_values_to_be_between", "row.size"]
    assert sizes["min_value"] > -10
    assert sizes["mostly"] < 1
    jobs = by_column["expect_column_values_to_be_in_set", "row.job"]
    assert (jobs["value_set"], jobs["mostly"] < 1) == (["clerk", "cook", "smith"], True)
    assert by_column["expect_column_values_to_not_be_null", "row.age"] == {"column": "row.age"}
    assert any(one["kwargs"].get("column") == "unknown_categories" for one in suite["prepared"])


def test_many_values_far_from_the_rest_are_not_accepted() -> None:
    values: list[object] = [float(k % 50) for k in range(95)] + [-9999.0] * 5
    (_, between) = raw(Profile(samples=100, columns={"row.a": values}))
    assert "mostly" not in between["kwargs"]
    assert between["kwargs"]["min_value"] >= 0


def test_the_command_asks_for_the_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put(tmp_path / "project", {"params.yaml": "datasets:\n  - none\n", "dvc.yaml": "stages: {}\n",
                                      "modelyard.toml": "", "pipelines/keep": "", "data/keep": ""})  # fmt: skip
    put(tmp_path, {"a.csv": lines("age", "job", "town", "rings")})
    monkeypatch.chdir(root)
    arguments = ["things", "--from", str(tmp_path / "a.csv"), "--label", "rings", "--json"]
    done = CliRunner().invoke(new, arguments, standalone_mode=False)
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["task"] == "tabular-classification"


@pytest.mark.slow
def test_adult_is_drafted_as_its_dataset_says(tmp_path: Path) -> None:
    mirror = os.environ.get("MODELYARD_MIRROR")
    folder = Path(mirror, "adult") if mirror else None
    if folder is None or not folder.is_dir():
        pytest.skip("MODELYARD_MIRROR has no adult")
    for path in folder.glob("*.csv"):
        put(tmp_path, {path.name: "".join(path.read_text().splitlines(keepends=True)[:1500])})
    recognised = recognise(tmp_path, DraftOptions(label="column_14"))
    document = yaml.safe_load(Path(__file__).parents[2].joinpath("data/adult/dataset.yaml").read_text())
    layout = document["source"]["layout"]
    names = {f"column_{number}": name for number, name in enumerate(layout["columns"])}
    for key in ("numbers", "categories"):
        assert [names[name] for name in recognised.layout[key]] == layout[key]
    for key in ("classes", "missing_values", "files"):
        assert recognised.layout[key] == layout[key]
    assert names[recognised.layout["label"]] == layout["label"]
    assert "words for a missing value: ?" in recognised.why
    with pytest.raises(SourceError, match="which column is the label"):
        recognise(tmp_path)


def test_more_rows_do_not_look_at_each_column_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    inner = Column.is_number.fget  # type: ignore[attr-defined]  # a property

    def counted(column: Column) -> Any:
        nonlocal calls
        calls += 1
        return inner(column)

    monkeypatch.setattr(Column, "is_number", property(counted))
    counts = []
    for rows in (60, 600):
        calls = 0
        found(tmp_path / str(rows), lines("age", "size", "job", "Survived", rows=rows))
        counts.append(calls)
    assert 0 < counts[1] < counts[0] + 10


def german(rows: int = 60) -> str:
    """Decimal commas, amounts of money, and a word of its own for a missing distance."""
    rows_of = [
        (f"{40 + i},{i % 100:02d}", str(i % 6 + 1), "k.A." if i % 20 == 3 else f"{i % 9},{i % 10}5",
         f"{100 + i}.{i:03d},50 €", "ja" if i % 2 else "nein")
        for i in range(rows)
    ]  # fmt: skip
    lines = [";".join(cells) for cells in rows_of]
    return "\n".join(["Fläche;Zimmer;Entfernung;Preis;verkauft", *lines]) + "\n"


def test_numbers_with_marks_and_units_are_neither_texts_nor_sets_of_labels(tmp_path: Path) -> None:
    task, layout, said = found(tmp_path, german(), label="verkauft")
    assert task == "tabular-classification"
    assert (layout["numbers"], layout["decimal"]) == (["Fläche", "Zimmer", "Entfernung"], ",")
    assert "Preis" in said
    assert "numbers with a unit (€), which are read without it: remove the unit from the cells" in said
    assert layout["missing_values"] == ["k.A."]
    assert "'k.A.' stands for a missing value in Entfernung: 3 of 60 cells" in said


def test_a_target_with_a_unit_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        found(tmp_path, german(), label="Preis")
    assert "unit" in caught.value.what
    assert caught.value.next_step == "remove € from the cells, then `modelyard new` again"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("199.755,57 €", "€"),
        ("$1,299.00", "$"),
        ("12 %", "%"),
        ("5 EUR", "EUR"),
        ("12", None),
        ("€", None),
        ("a%", None),
    ],
)
def test_a_unit_beside_a_number(cell: str, expected: str | None) -> None:
    assert unit(cell) == expected


def test_expectations_say_in_plain_words_what_they_expect() -> None:
    profile = Profile(samples=4, columns={"missing": [0] * 4, "width": [8, 9, 12, 16], "constant": [False] * 4,
                                          "same": [False] * 39 + [True], "row.a": [1.5, 2.0, 3.0, 5.5]})  # fmt: skip
    texts = [expectations._column_expectation(column, profile, "") for column in profile.columns][:4] + raw(profile)
    assert [one["description"] for one in texts if one is not None] == [
        "the number of missing values is 0 in every sample",
        "width is 6 to 18: 8 to 16 was seen, and a quarter of the range is added on both sides",
        "no sample is constant",
        "nearly no sample is equal in source and target",
        "every sample has a value of a",
        "a is 0.5 to 6.5: 1.5 to 5.5 was seen, and a quarter of the range is added on both sides",
    ]


def own_words(word: str, *, every: int = 20, last: str = "", rows: int = 100) -> str:
    """A table whose column `size` has a word in each 20th row."""
    text = table(
        rows,
        lambda i: f"{20 + i % 50},{word if i % every == 7 else f'{i * 1.5}'},{JOBS[i % 3]},{'ab'[i % 2]}",
        "age,size,job,species",
    )
    return text.rstrip("\n").rpartition("\n")[0] + f"\n30,{last},cook,a\n" if last else text


@pytest.mark.parametrize("word", ["k.A.", "unbekannt", "n.v.", "keine Angabe", "no data", "sans objet"])
def test_a_word_of_its_own_for_a_missing_number_is_recognised_and_said(word: str, tmp_path: Path) -> None:
    _, layout, said = found(tmp_path, own_words(word))
    assert layout == {
        "numbers": ["age", "size"], "categories": ["job"], "label": "species", "missing_values": [word],
    }  # fmt: skip
    assert f"{word!r} stands for a missing value in size: 5 of 100 cells" in said


@pytest.mark.parametrize(
    "text",
    [
        *map(own_words, ("low", ">100", "null komma eins", "free", "keine", "T", "12 cm", "ditto", "s.o.")),
        own_words("k.A.", every=8),  # more than a few percent
        own_words("k.A.", last="other"),
        own_words("k.A.", rows=3000, last="other"),  # further down than the first rows
    ],
)  # fmt: skip
def test_a_word_that_may_be_a_value_is_not_taken_for_a_missing_one(text: str, tmp_path: Path) -> None:
    _, layout, said = found(tmp_path, text)
    assert "size" not in layout["numbers"]
    assert "missing_values" not in layout
    assert "size is left out" in said or "size" in layout.get("categories", ())


def test_a_word_in_the_column_of_classes_is_a_class(tmp_path: Path) -> None:
    text = table(200, lambda i: f"{i % 50},{i * 1.5},{JOBS[i % 3]},{'unbekannt' if i % 40 == 3 else i % 12}",
                 "age,size,job,label")  # fmt: skip
    _, layout, _ = found(tmp_path, text)
    assert layout == {"numbers": ["age", "size"], "categories": ["job"], "label": "label"}


def test_samples_with_a_word_of_its_own_are_read_as_drafted(project: Project, tmp_path: Path) -> None:
    text = own_words("k.A.").replace("cook,a", "k.A.,a", 3)
    made = draft.write(project, "things", put(tmp_path / "own", {"a.csv": text}) / "a.csv")
    said = "; ".join([made.why, *made.notes])
    assert "stands for a missing value in job (3 of the first 100 cells) as well" in said
    assert "size (5)" in said
    assert "job (3)" in said


def test_the_time_of_the_samples_is_named_and_said(project: Project, tmp_path: Path) -> None:
    text = table(60, lambda i: f"{i * 1.5},{JOBS[i % 3]},{i % 28 + 1:02}/{i % 12 + 1:02}/2024,{'ab'[i % 2]}",
                 "size,job,signup_date,species")  # fmt: skip
    made = draft.write(project, "things", put(tmp_path / "own", {"a.csv": text}) / "a.csv")
    said = "; ".join([made.why, *made.notes])
    assert "signup_date is the time of a sample; the splits are drawn at random" in said
    assert "signup_date is left out" not in said
    path = project.dataset("things") / "dataset.yaml"
    document = yaml.safe_load(path.read_text())
    assert (document["source"]["time"], document["source"]["time_format"]) == ("signup_date", "%d/%m/%Y")
    document["split"] = {"by": "time", "time_column": "signup_date"}
    assert DatasetSpec.model_validate(document).time_field() == "time"
    wrong = text.replace("14/02/2024", "soon")
    assert "time" not in found(tmp_path / "wrong", wrong)[1]
