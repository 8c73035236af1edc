"""Scoring with small bundles of several tasks: the answers of the service, errors by line, what is refused."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.errors import SourceError, UsageError, ValidationRefused
from components.identity import manifest
from components.scoring import pieces
from components.scoring.folder import WORK, opened
from tests import small_package
from tests.scoring.small_scoring import content, refusal, request, score
from tests.serving import packages, service

ROWS = [
    {"id": f"c{n}", "age": 20 + n % 50, "height": 1.5 + n % 5 / 10, "town": ["Ulm", "Bonn"][n % 2]} for n in range(60)
]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    small_package.bundle(folder / "images", "1", nan_above=0.9)
    packages.table(folder / "table")
    packages.series(folder / "series")
    packages.language_model(folder / "texts")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for number in range(30):
        path = folder / f"{number % 2}" / f"{number}.png"  # equal names in two folders
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small_package.image(number))
    return folder


def rows_file(path: Path, rows: list[dict[str, Any]] = ROWS, delimiter: str = ",", decimal: str = ".") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: str(one).replace(".", decimal) for key, one in row.items()})
    return path


def predictions(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions")


def errors(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "errors.csv").read_text())))


def test_the_answers_are_those_of_the_service(
    bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    done = score(monkeypatch, request(bundles / "images", pictures, out))
    assert (done.state, done.scored) == ("scored", 30)
    table = predictions(out)
    each = [f"probability_{one}" for one in small_package.CLASSES]
    assert list(table.columns) == ["file", "label", "probability", *each]
    with service.running(bundles / "images", None) as running:
        for row in table.to_dict("records"):
            answer = running.ask((pictures / row["file"]).read_bytes()).json()["predictions"][0]
            assert row["label"] == answer["label"]
            assert {one: row[f"probability_{one}"] for one in small_package.CLASSES} == answer["probabilities"]
            assert row["probability"] == answer["probabilities"][row["label"]]


def test_rows_of_a_table_are_answered_as_the_service_answers_them(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    score(monkeypatch, request(bundles / "table", rows_file(tmp_path / "rows.csv"), out))
    table = predictions(out)
    assert table["id"].tolist() == [row["id"] for row in ROWS]
    assert table["line"].tolist() == list(range(2, 62))
    assert "age" not in table.columns
    with service.running(bundles / "table", None) as running:
        asked = [{key: row[key] for key in ("age", "height", "town")} for row in ROWS[:4]]
        answer = running.client.post("/predict", json={"rows": asked}).json()["predictions"]
    assert table["probability_yes"].tolist()[:4] == [one["probabilities"]["yes"] for one in answer]
    inputs = pd.read_parquet(out / "inputs")
    assert inputs["raw.row.age"].tolist() == [float(row["age"]) for row in ROWS]
    assert inputs["id"].tolist()[0] == "rows.csv line 2"


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "semicolons", "gzip", "cp1252"])
def test_the_same_rows_in_another_file_get_the_same_answers(
    kind: str, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(monkeypatch, request(bundles / "table", rows_file(tmp_path / "rows.csv"), tmp_path / "plain"))
    path = tmp_path / "rows.csv"
    if kind == "parquet":
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7)
    elif kind == "jsonl":
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "semicolons":
        path = rows_file(tmp_path / "rows2.csv", delimiter=";", decimal=",")
    elif kind == "gzip":
        path = tmp_path / "rows.csv.gz"
        path.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    else:
        rows = [{**row, "id": f"Müller, {row['id']}"} for row in ROWS]
        path.write_bytes(rows_file(path, rows).read_text().encode("cp1252"))
    score(monkeypatch, request(bundles / "table", path, tmp_path / "out"))
    plain, other = predictions(tmp_path / "plain"), predictions(tmp_path / "out")
    assert other["probability_yes"].tolist() == plain["probability_yes"].tolist()
    assert other["id"].tolist() == [f"Müller, {one}" if kind == "cp1252" else one for one in plain["id"]]


def test_what_cannot_be_scored_is_listed_with_file_and_line(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows_file(tmp_path / "rows.csv")
    with path.open("a") as stream:
        stream.write('x1,old,1.7,Ulm\nx2,30,1.7\nx3,"30,1.7,Ulm\nx4,30,1.7,Ulm\n')
    asked = request(bundles / "table", path, tmp_path / "out", options={"max_errors": 3})
    score(monkeypatch, asked)
    assert [one["place"] for one in errors(tmp_path / "out")] == [f"rows.csv line {line}" for line in (62, 63, 64)]
    assert predictions(tmp_path / "out")["id"].tolist()[-1] == "x4"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["samples"], summary["answered"], summary["errors"]) == (64, 61, 3)
    refused = refusal(monkeypatch, asked.model_copy(update={"out": str(tmp_path / "other"), "options": request(
        bundles / "table", path, tmp_path).options}))  # fmt: skip
    assert isinstance(refused, ValidationRefused)
    assert refused.exit_code == 3
    assert "rows.csv line 62" in str(refused)
    assert not (tmp_path / "other" / "manifest.json").exists()


def test_a_picture_without_a_finite_answer_costs_its_batch_nothing(
    bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "0" / "2-white.png").write_bytes(small_package.white())
    (pictures / "0" / "3-broken.png").write_bytes(b"no picture")
    (pictures / "0" / "4-gone.png").symlink_to(tmp_path / "nowhere")
    (pictures / "0" / "notes.txt").write_text("no picture either")
    (pictures / "1" / "loop").symlink_to(pictures)
    out = tmp_path / "out"
    score(monkeypatch, request(bundles / "images", pictures, out, options={"max_errors": "10%"}))
    assert {one["place"] for one in errors(out)} == {"0/2-white.png", "0/3-broken.png"}
    assert len(predictions(out)) == 30
    remarks = " ".join(json.loads((out / "summary.json").read_text())["remarks"])
    assert "0/notes.txt" in remarks
    assert "1/loop" in remarks
    assert "0/4-gone.png" in remarks


def test_texts_by_lines_and_files_with_parameters(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "one two", "n": 7}\nno json\n{"prompt": "five"}\n{"prompt": 5}\n')
    options = {"parameters": {"max_tokens": 2}, "max_errors": 2, "format": "jsonl"}
    score(monkeypatch, request(bundles / "texts", path, tmp_path / "out", options=options))
    found = [json.loads(line) for line in (tmp_path / "out/predictions/part-000000.jsonl").read_text().splitlines()]
    assert [one["text"].split() for one in found] == [["three", "four"], ["six", "seven"]]
    assert [one["n"] for one in found] == ["7", None]
    (tmp_path / "a.txt").write_text("one two")
    options = {"parameters": {"max_tokens": 2}}
    score(monkeypatch, request(bundles / "texts", tmp_path / "a.txt", tmp_path / "out2", options=options))
    assert predictions(tmp_path / "out2")["text"].tolist() == [found[0]["text"]]
    alien = request(bundles / "texts", tmp_path / "a.txt", tmp_path / "out3", options={"keep": ["n"]})
    assert "--keep is for tables" in str(refusal(monkeypatch, alien))
    wrong = request(bundles / "texts", path, tmp_path / "out3", options={"parameters": {"max_token": 2}})
    assert "max_tokens" in str(refusal(monkeypatch, wrong))
    assert not (tmp_path / "out3").exists()


@pytest.mark.slow
def test_series_are_csv_files_or_lists(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number, values in enumerate(packages.SERIES):
        (folder / f"{number}.csv").write_text("\n".join(",".join(map(str, row)) for row in values))
    score(monkeypatch, request(bundles / "series", folder, tmp_path / "files"))
    path = tmp_path / "series.parquet"
    pq.write_table(pa.table({"values": packages.SERIES.tolist(), "key": [1, 2, 3]}), path)
    options = {"keep": "all"}
    score(monkeypatch, request(bundles / "series", path, tmp_path / "lists", options=options))
    lists = predictions(tmp_path / "lists")
    assert predictions(tmp_path / "files")["probability_yes"].tolist() == lists["probability_yes"].tolist()
    assert lists["key"].tolist() == [1, 2, 3]
    assert lists["values"][0][0].tolist() == packages.SERIES[0, 0].tolist()


def test_pictures_in_the_cells_of_a_table(
    bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [pictures / f"{number % 2}" / f"{number}.png" for number in range(4)]
    cells = [*(path.relative_to(tmp_path).as_posix() for path in files[:2]), "data:image/png;base64,"
             + base64.b64encode(files[2].read_bytes()).decode(), base64.b64encode(files[3].read_bytes()).decode(),
             "/etc/hostname", "../secret.png", "nowhere.png"]  # fmt: skip
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps({"image": cell, "label": "mine"}) + "\n" for cell in cells))
    score(monkeypatch, request(bundles / "images", path, tmp_path / "out", options={"max_errors": 3}))
    score(monkeypatch, request(bundles / "images", files, tmp_path / "files"))
    table = predictions(tmp_path / "out")
    assert table["probability_left"].tolist() == predictions(tmp_path / "files")["probability_left"].tolist()
    assert table["label_input"].tolist() == ["mine"] * 4  # `label` is the prediction's
    assert len(errors(tmp_path / "out")) == 3


def test_the_output_is_sealed_and_found_again(
    bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked = request(bundles / "images", pictures, out)
    done = score(monkeypatch, asked)
    facts = manifest.verify(out, "predictions").facts
    assert facts["package_digest"] == manifest.load(bundles / "images" / "package", "package").digest
    assert facts["bundle_digest"] == manifest.load(bundles / "images", "bundle").digest
    assert facts["libraries"]["numpy"]
    assert str(tmp_path) not in json.dumps(facts)
    before = content(out)
    again = score(monkeypatch, asked)
    assert (again.state, again.digest, content(out)) == ("complete", done.digest, before)
    other = request(bundles / "images", pictures, tmp_path / "other", unless_as=str(out))
    assert score(monkeypatch, other).state == "unchanged"
    assert not (tmp_path / "other").exists()
    (pictures / "0" / "0.png").write_bytes(small_package.image(99))
    assert score(monkeypatch, other).state == "scored"
    changed = refusal(monkeypatch, asked)
    assert isinstance(changed, UsageError)
    assert "--force" in str(changed)
    assert content(out) == before
    assert score(monkeypatch, request(bundles / "images", pictures, out, force=True)).state == "scored"
    assert content(out) == content(tmp_path / "other")


def test_folders_that_are_not_ours_stay_as_they_are(
    bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("mine")
    for force in (False, True):
        refused = refusal(monkeypatch, request(bundles / "images", pictures, out, force=force))
        assert "thesis.doc" in str(refused)
    assert [path.name for path in out.iterdir()] == ["thesis.doc"]
    assert "inside the input" in str(refusal(monkeypatch, request(bundles / "images", pictures, pictures / "out")))
    with opened(tmp_path / "busy"):
        busy = refusal(monkeypatch, request(bundles / "images", pictures, tmp_path / "busy"))
    assert "another process" in str(busy)


@pytest.mark.parametrize(
    "kind", ["empty", "missing", "columns", "twice", "kinds", "no rows", "directory without pictures"]
)
def test_inputs_that_cannot_be_scored_are_refused_before_any_work(
    kind: str, bundles: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, path, expected = bundles / "images", tmp_path / "in", "nothing to score"
    path.mkdir()
    if kind == "missing":
        path, expected = tmp_path / "nowhere", "no such file"
    elif kind == "columns":
        rows = [{"id": 1, "age": 3}]
        bundle, path, expected = bundles / "table", rows_file(tmp_path / "rows.csv", rows), "height, town"
    elif kind == "twice":
        bundle, path, expected = bundles / "table", tmp_path / "rows.csv", "stands twice"
        path.write_text("age,age,height,town\n1,2,1.7,Ulm\n")
    elif kind == "no rows":
        bundle, path, expected = bundles / "table", tmp_path / "rows.csv", "no sample"
        path.write_text("age,height,town\n")
    elif kind == "kinds":
        path, expected = pictures, "mixed"
        rows_file(pictures / "rows.csv")
    elif kind == "directory without pictures":
        (path / "a.txt").write_text("a")
        expected = "files .txt are left out"
    refused = refusal(monkeypatch, request(bundle, path, tmp_path / "out"))
    assert isinstance(refused, UsageError | SourceError)
    assert expected in str(refused)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_with_what_is_missing(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each number of parts; damaged and strange files in the working folder are not taken over."""
    monkeypatch.setattr(pieces, "TEXT_CHARACTERS", (160, 160))
    path = rows_file(tmp_path / "rows.csv")
    whole = request(bundles / "table", path, tmp_path / "whole")
    score(monkeypatch, whole)
    parts = len(list((tmp_path / "whole" / "predictions").iterdir()))
    assert parts > 5
    for stop in range(1, parts):
        out = tmp_path / f"out{stop}"
        asked = request(bundles / "table", path, out)
        real = pieces.of

        def some(source: Any, stop: int = stop, real: Any = real) -> Any:
            for piece in real(source):
                if piece.number == stop:
                    raise OSError("killed")
                yield piece

        with monkeypatch.context() as patched:
            patched.setattr(pieces, "of", some)
            with pytest.raises(OSError, match="killed"):
                score(monkeypatch, asked)
        result = out / WORK / "result" / "predictions"
        (result / ".part-000000.parquet.x").write_bytes(b"half")
        (result / "part-000099.parquet").write_bytes(b"of other pieces")
        if stop > 2:
            (result / "part-000001.parquet").write_bytes(b"damaged")
        assert score(monkeypatch, asked).scored < 60
        assert content(out) == content(tmp_path / "whole")


def test_an_unfinished_output_of_other_options_is_not_mixed(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows_file(tmp_path / "rows.csv")
    with path.open("a") as stream:
        stream.write("x,y,z,t\n" * 5)
    asked = request(bundles / "table", path, tmp_path / "out")
    refusal(monkeypatch, asked)  # too many errors
    other = request(bundles / "table", path, tmp_path / "out", options={"format": "csv", "max_errors": 5})
    assert "unfinished output" in str(refusal(monkeypatch, other))
    more = request(bundles / "table", path, tmp_path / "out", options={"max_errors": 5})
    assert score(monkeypatch, more).scored == 0  # nothing is scored twice


def test_an_input_that_changes_meanwhile_is_noticed(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows_file(tmp_path / "rows.csv")
    real = pieces.of

    def changing(source: Any) -> Any:
        yield from real(source)
        with path.open("a") as stream:
            stream.write("new,30,1.7,Ulm\n")

    with monkeypatch.context() as patched:
        patched.setattr(pieces, "of", changing)
        refused = refusal(monkeypatch, request(bundles / "table", path, tmp_path / "out"))
    assert "changed while" in str(refused)
    score(monkeypatch, request(bundles / "table", path, tmp_path / "out"))
    assert predictions(tmp_path / "out")["id"].tolist()[-1] == "new"


def test_csv_output_is_read_back(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "id": f'a "{row["id"]}",\nb'} for row in ROWS]
    path = rows_file(tmp_path / "rows.csv", rows)
    options = {"format": "csv", "keep": ["id", "age"]}
    score(monkeypatch, request(bundles / "table", path, tmp_path / "out", options=options))
    table = pd.concat(map(pd.read_csv, sorted((tmp_path / "out" / "predictions").iterdir())))
    assert table["id"].tolist() == [row["id"] for row in rows]
    assert table["age"].tolist() == [row["age"] for row in rows]


def test_a_name_that_is_no_utf8_is_written_as_escapes(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "pictures") + b"/\xff.png")).write_bytes(small_package.image(1))
    score(monkeypatch, request(bundles / "images", tmp_path / "pictures", tmp_path / "out"))
    assert predictions(tmp_path / "out")["file"].tolist() == ["\\xff.png"]
