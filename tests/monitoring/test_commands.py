"""`modelyard predictions` and `modelyard label`, in a project's folder, on a log as workers write it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, SEALED, hour_of
from components.core.errors import NotFoundError, SourceError
from components.identity import manifest as manifests
from components.monitoring import label_file, overview, sealing
from flows.cli import main

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELYARD_PROJECT", raising=False)
    return tmp_path


@pytest.fixture
def command(project: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capfd.readouterr()
        return code, out, err

    return run


def write(project: Path, begin: float, count: int, **more: Any) -> list[str]:
    ids = [f"{int(begin):08x}-{number:016x}" for number in range(count)]
    document: dict[str, Any] = {
        "format": BLOCK_FORMAT, "model": "m", "version": "1", "package": "p", "role": "champion", "id": ids,
        "index": [0] * count, "time": [begin] * count, "latency_ms": [2.0] * count, "output": [{"label": "a"}] * count,
        **more,
    }  # fmt: skip
    path = project / ".modelyard/predictions/m" / OPEN / hour_of(begin) / "1-a.predictions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document) + "\n")
    return ids


def test_truths_of_a_file_become_a_figure(project: Path, command: Command) -> None:
    write(project, time.time() - 3 * 3600, 2, inputs=["x", "y"])
    ids = write(project, time.time(), 8)
    lines = [f"{name},{'a' if number else 'b'}" for number, name in enumerate(ids[:4])]
    (project / "truths.csv").write_text("id,truth\n" + "\n".join(lines) + "\n")
    assert command("label", "m", "truths.csv")[:2] == (
        0, "4 truths; `modelyard predictions m` says what they make of the answers\n"
    )  # fmt: skip
    code, out, _ = command("predictions", "m", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["sealed"], found["open"], found["truths"]["labelled"], found["truths"]["unlabelled"]) == (1, 1, 4, 6)
    (figure,) = found["figures"]
    assert (figure["metric"], figure["value"], figure["samples"]) == ("accuracy", 0.75, 4)
    out = command("predictions", "m")[1]
    assert "4 of 10 answers have a truth" in out
    assert "accuracy 0.7500" in out
    (sealed,) = (project / ".modelyard/predictions/m" / SEALED).iterdir()
    assert pd.read_parquet(sealed / sealing.PREDICTIONS)["input"].tolist() == ['"x"', '"y"']


def test_truths_of_no_known_class_are_named_kept_and_counted_apart(project: Path, command: Command) -> None:
    output = {"label": "class", "probabilities": {"class": 0.9, "other": 0.1}}
    old = write(project, time.time() - 3 * 3600, 2, output=[output] * 2)
    ids = write(project, time.time(), 8, output=[output] * 8)
    assert command("predictions", "m")[0] == 0  # seals the old hour
    truths = [*zip(ids, ["class", "Class", "nonsense", "[]", *["other"] * 4], strict=True), (old[0], "clas")]
    (project / "truths.csv").write_text("id,truth\n" + "".join(f"{name},{truth}\n" for name, truth in truths))
    code, out, err = command("label", "m", "truths.csv")
    assert (code, out[:9]) == (0, "9 truths;")
    assert err.splitlines() == [
        "note: row 2: the truth 'Class' is no class of the model; the nearest is 'class'; it knows class, other",
        "note: row 3: the truth 'nonsense' is no class of the model; it knows class, other",
        "note: row 4: the truth is of another kind than the answer, which has label",
        "note: row 9: the truth 'clas' is no class of the model; the nearest is 'class'; it knows class, other",
        "note: they are kept and counted apart, neither right nor wrong; told again, the last truth counts",
    ]
    found = json.loads(command("predictions", "m", "--json")[1])
    (figure,) = found["figures"]
    assert (figure["value"], figure["samples"], figure["unscored"], figure["unknown"]) == (0.2, 5, 1, 3)
    assert found["unknown_classes"] == {"Class": 1, "nonsense": 1, "clas": 1}
    assert "3 truths are of no known class" in command("predictions", "m")[2]
    (project / "truths.csv").write_text(f"id,truth\n{ids[1]},class\n")
    assert json.loads(command("label", "m", "truths.csv", "--json")[1]) == {"truths": 1, "apart": 0, "notes": []}
    assert json.loads(command("predictions", "m", "--json")[1])["unknown_classes"] == {"nonsense": 1, "clas": 1}


def test_inputs_go_when_their_time_is_over_and_all_else_stays(project: Path) -> None:
    log = project / ".modelyard/predictions/m"
    write(project, time.time() - 3 * 86_400, 2, inputs=["x", "y"])
    (before,) = sealing.seal_closed(log)
    assert sealing.remove_inputs(log, time.time() - 4 * 86_400) == 0
    assert sealing.remove_inputs(log, time.time() - 2 * 86_400) == 1
    assert sealing.remove_inputs(log, time.time() - 2 * 86_400) == 0
    (after,) = sealing.sealed_hours(log)
    manifests.verify(after.folder, "predictions")
    assert after.manifest.facts == {**before.manifest.facts, "inputs_removed": True}
    table = pd.read_parquet(after.folder / sealing.PREDICTIONS)
    assert "input" not in table
    assert len(table) == 2


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "id,truth\n00000001-0000000000000001,\n", "row 1"), ("a.csv", "id,truth\nx,1\n", "prediction id"),
        ("a.csv", "id,truth\n", "no truth"), ("a.jsonl", "{", "cannot be read"), ("a.jsonl", "[1]\n", "row 1"),
        ("a.txt", "x", "kind of file"), ("a.csv", "\xff\xfe", "no truth"),
        ("a.parquet", "PAR1xx", "cannot be read"),
        ("a.jsonl", '{"id": "00000001-0000000000000001", "truth": NaN}', "row 1"),
        ("a.jsonl", 99_999 * "[" + "\n", "cannot be read"),
        ("a.csv", "id,truth,at\n00000001-0000000000000001,7,1700000000000\n", "not milliseconds"),
        ("a.csv", "id,truth,index\n00000001-0000000000000001,7,99999999999\n", "row 1"),
    ],
)  # fmt: skip
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError) as caught:
        label_file.read(tmp_path / name)
    assert expected in "\n".join(caught.value.lines())
    with pytest.raises(NotFoundError, match="no such file"):
        label_file.read(tmp_path / "another name")


def test_values_that_json_has_not_are_refused(tmp_path: Path) -> None:
    for truth in (pd.Timestamp("2026-11-29"), b"bytes"):
        pd.DataFrame([{"id": "00000001-0000000000000001", "truth": truth}]).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(SourceError, match="row 1 is no truth: no value of JSON"):
            label_file.read(tmp_path / "a.parquet")


def test_a_number_that_may_be_a_class_stays_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(
        ["id,truth\n", *(f"00000001-{number:016x},{text}\n" for number, text in enumerate(["1.20", "1.5", "7", "007"]))]
    ))  # fmt: skip
    assert [one.truth for one in label_file.read(tmp_path / "a.csv")] == ["1.20", 1.5, 7, "007"]


@pytest.mark.parametrize("by", ["output", "latency_ms", "id", "input"])
def test_there_are_no_slices_by_what_is_no_property_of_a_sample(project: Path, command: Command, by: str) -> None:
    write(project, time.time(), 2)
    code, _, err = command("predictions", "m", "--by", by)
    assert code == 2
    assert "answers have no slices by this column" in err


def test_truths_of_every_kind_of_file(tmp_path: Path) -> None:
    rows = [{"id": "00000001-0000000000000001", "truth": 1.5, "index": 2, "at": 7.0}]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n\n")
    (tmp_path / "a.tsv").write_text("at\tid\ttruth\tindex\n7\t00000001-0000000000000001\t1.5\t2\n")
    found = [label_file.read(tmp_path / f"a.{suffix}") for suffix in ("parquet", "jsonl", "tsv")]
    assert [[one.model_dump() for one in told] for told in found] == [rows] * 3


@pytest.mark.parametrize("name", ["..", "../m", "", "M", "m/../m"])
def test_a_name_that_is_none_is_refused(project: Path, command: Command, name: str) -> None:
    """A folder of the state beside the logs is no log."""
    write(project, time.time(), 1)
    for words in (("predictions", name), ("label", name, "x.csv")):
        code, _, err = command(*words)
        assert code == 2
        assert "no name of a model" in err


def test_two_looks_at_once_seal_each_hour_once(project: Path) -> None:
    log = project / ".modelyard/predictions/m"
    write(project, time.time() - 3 * 3600, 50)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: overview.overview(log), range(4)))
    assert [(one.sealed, one.open, one.slots[0].predictions) for one in found] == [(1, 0, 50)] * 4


def test_a_model_that_answered_nothing_is_said_so_and_one_that_is_not_there(project: Path, command: Command) -> None:
    shutil.copy(ROOT / "pipelines" / "digits.yaml", project / "pipelines")
    for words in (("predictions", "digits"), ("label", "digits", "x.csv"), ("drift", "digits")):
        code, _, err = command(*words)
        assert code == 2
        assert "digits has logged no answer here" in err
        assert "modelyard promote digits VERSION" in err
    for words in (("predictions", "m"), ("label", "m", "x.csv"), ("drift", "m"), ("monitor", "m"), ("rehearse", "m")):
        code, _, err = command(*words)
        assert code == 2
        assert "there is no pipeline m" in err
        assert "digits" in err
    for words in (("monitor", "../digits", "--pause"), ("rehearse", "../digits"), ("drift", "../digits")):
        code, _, err = command(*words)
        assert code == 2
        assert "that is no name of a model" in err


def test_a_window_that_does_not_go_with_the_season_is_refused(project: Path, command: Command) -> None:
    text = (ROOT / "pipelines" / "digits.yaml").read_text().replace("name: digits", "name: m", 1)
    (project / "pipelines" / "m.yaml").write_text(text + "monitor: {season: day}\n")
    write(project, time.time(), 2)
    code, _, err = command("drift", "m", "--window", "day")
    assert code == 2
    assert "--window day does not go with monitor:" in err
    assert "whole days have no hours" in err
