"""Sealed hours: readable by others, complete after a kill, late lines, torn lines, columns of changing types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, begin_of, hour_of
from components.core.errors import CorruptArtifactError
from components.identity import manifest as manifests
from components.monitoring import log_reader, sealing

HOUR = "2026-11-29T13"
START = begin_of(HOUR)


def block(count: int = 2, first: int = 0, **more: Any) -> str:
    document: dict[str, Any] = {
        "format": BLOCK_FORMAT, "model": "m", "version": "3", "package": "p" * 64, "role": "champion",
        "id": [f"{int(START):08x}-{first + number:016x}" for number in range(count)], "index": [0] * count,
        "time": [START + first + number for number in range(count)], "latency_ms": [1.5] * count,
        "output": [{"label": "yes"}] * count, **more,
    }  # fmt: skip
    return json.dumps(document) + "\n"


def write(log: Path, text: str, name: str = "1-a.predictions.jsonl") -> Path:
    path = log / OPEN / HOUR / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_names_of_hours_and_their_begins_are_one_another(tmp_path: Path) -> None:
    assert hour_of(START) == hour_of(START + 3599.999) == HOUR
    assert begin_of(hour_of(START + 3600)) == START + 3600


def test_an_hour_is_sealed_when_it_is_over_and_others_read_it(tmp_path: Path) -> None:
    rows = {"prepared.mean": [0.5, None], "raw.words": [3, 4], "raw.valid": [True, False]}
    path = write(tmp_path, block(first=5, rows=rows) + block(dropped=4), "1-a.predictions.jsonl")
    told = {"id": f"{int(START):08x}-{5:016x}", "index": 0, "truth": {"a": 1}, "at": None, "arrived": START + 9}
    write(tmp_path, json.dumps(told) + "\n", "1-a.feedback.jsonl")
    assert sealing.seal_closed(tmp_path, START + 3600 + 59) == []
    (sealed,) = sealing.seal_closed(tmp_path, START + 3600 + 61)
    assert not path.parent.exists()
    assert manifests.verify(sealed.folder, "predictions").digest == sealed.manifest.digest
    facts = sealed.manifest.facts
    assert (facts["predictions"], facts["feedback"], facts["dropped_requests"], facts["versions"]) == (4, 1, 4, ["3"])
    table = pd.read_parquet(sealed.folder / sealing.PREDICTIONS)
    assert table["time"].is_monotonic_increasing
    assert table["time"].iloc[0].timestamp() == START
    assert table["raw.words"].tolist()[2:] == [3, 4]
    assert table["raw.words"].isna().tolist() == [True, True, False, False]
    assert [json.loads(one) for one in table["output"]] == [{"label": "yes"}] * 4
    assert json.loads(pd.read_parquet(sealed.folder / sealing.FEEDBACK)["truth"][0]) == {"a": 1}
    assert [one.name for one in sealing.sealed_hours(tmp_path)] == [HOUR]


def test_the_same_lines_give_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        write(tmp_path / name, block() + block(first=7))
        sealed = sealing.seal(tmp_path / name, HOUR)
        assert sealed is not None
        digests.add(sealed.manifest.digest)
    assert len(digests) == 1


def test_lines_that_remain_after_a_kill_are_not_counted_twice_and_late_ones_not_lost(tmp_path: Path) -> None:
    write(tmp_path, block())
    assert sealing.seal(tmp_path, HOUR) is not None
    write(tmp_path, block())  # as they lie when a kill came between the seal and the removal
    write(tmp_path, block(first=50), "2-b.predictions.jsonl")
    late = sealing.seal(tmp_path, HOUR)
    assert late is not None
    assert late.name == f"{HOUR}.2"
    assert not (tmp_path / OPEN / HOUR).exists()
    assert late.manifest.facts["predictions"] == 2
    write(tmp_path, block())
    assert sealing.seal(tmp_path, HOUR) is None


def test_torn_and_strange_lines_are_counted(tmp_path: Path) -> None:
    odd = ["[1]", "{}", '{"format": 99}', '{"format": 1, "id": ["x"]}', block()[:100], "\xff"]
    path = write(tmp_path, block() + "\n".join(odd) + "\n")
    part = log_reader.read(path.parent)
    assert (part.predictions.num_rows, part.torn) == (2, len(odd))


def test_a_column_may_be_text_in_one_block_and_number_in_another(tmp_path: Path) -> None:
    path = write(tmp_path, block(rows={"raw.row.a": [1, None]}) + block(first=3, rows={"raw.row.a": ["x", 2]}))
    part = log_reader.read(path.parent)
    assert part.predictions["raw.row.a"].to_pylist() == ["1", None, "x", "2"]


def test_a_changed_file_is_seen(tmp_path: Path) -> None:
    write(tmp_path, block())
    sealed = sealing.seal(tmp_path, HOUR)
    assert sealed is not None
    with (sealed.folder / sealing.PREDICTIONS).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CorruptArtifactError):
        manifests.verify(sealed.folder, "predictions")


def test_an_hour_that_was_damaged_is_named(tmp_path: Path) -> None:
    write(tmp_path, block())
    (sealed,) = sealing.seal_closed(tmp_path, START + 9999)
    table = sealed.folder / sealing.PREDICTIONS
    whole = table.read_bytes()
    table.write_bytes(whole[:500])
    with pytest.raises(CorruptArtifactError, match="not the one that was sealed") as caught:
        sealing.sealed_hours(tmp_path)
    assert caught.value.where == str(table)
    assert "restore the folder" in str(caught.value.next_step)
    table.write_bytes(whole)
    (sealed.folder / "manifest.json").unlink()
    with pytest.raises(CorruptArtifactError, match="has no manifest") as caught:
        sealing.sealed_hours(tmp_path)
    assert caught.value.where == str(sealed.folder)


def test_an_hour_that_a_killed_call_was_about_to_replace_is_put_back(tmp_path: Path) -> None:
    write(tmp_path, block())
    (sealed,) = sealing.seal_closed(tmp_path, START + 9999)
    sealed.folder.rename(sealed.folder.with_name(f".{sealed.name}.old"))  # the first of the two renames
    assert sealing.seal_closed(tmp_path, START + 9999) == []
    assert [one.name for one in sealing.sealed_hours(tmp_path)] == [HOUR]
