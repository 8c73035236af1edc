"""An hour of several workers: merged in the order of time in bounded memory; what is appended meanwhile is kept."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.contracts.prediction_log import BLOCK_FORMAT, BY_REQUEST, OPEN, begin_of
from components.monitoring import hour_file, log_reader, sealing

HOUR = "2026-11-29T13"
START = begin_of(HOUR)


def line(first: float, sizes: list[int], **more: Any) -> bytes:
    """A block of requests of some samples each, a hundredth of a second apart."""
    count = len(sizes)
    document: dict[str, Any] = {
        "format": BY_REQUEST, "model": "m", "version": "3", "package": "p", "role": "champion",
        "id": [f"{int(START):08x}-{round(1000 * first) + place:016x}" for place in range(count)],
        "time_us": [round(1e6 * (START + first + place / 100)) for place in range(count)],
        "latency_us": [1500] * count,
        "outputs": [[{"label": "é", "p": 0.25}] * size for size in sizes], **more,
    }  # fmt: skip
    return json.dumps(document).encode() + b"\n"


def write(log: Path, name: str, content: bytes) -> Path:
    path = log / OPEN / HOUR / f"{name}.predictions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_block_by_requests_has_a_row_for_each_sample() -> None:
    block = log_reader.parsed(line(5, [1, 2], rows={"prepared.mean": [1, 2, None]}, inputs=["a", "b", "c"], dropped=3))
    assert block.table is not None
    assert block.dropped == 3
    rows = block.table.to_pylist()
    assert [row["index"] for row in rows] == [0, 0, 1]
    assert rows[1]["id"] == rows[2]["id"] != rows[0]["id"]
    assert [row["time"].timestamp() - START for row in rows] == pytest.approx([5, 5.01, 5.01])
    assert [row["prepared.mean"] for row in rows] == [1, 2, None]
    assert [row["input"] for row in rows] == ['"a"', '"b"', '"c"']
    assert json.loads(rows[0]["output"]) == {"label": "é", "p": 0.25}
    assert rows[0]["latency_ms"] == 1.5
    alone = log_reader.parsed(b'{"format":2,"dropped":7}')
    assert (alone.table is not None, alone.dropped) == (True, 7)
    for odd in ({"outputs": [[{}]]}, {"time_us": ["x", "y"]}, {"latency_us": [None, 1]}, {"rows": {"a": [1]}}):
        assert log_reader.parsed(line(5, [1, 1], **odd)).table is None, odd


def test_files_are_merged_in_order_whatever_the_size_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)  # noqa: S311  # dice with a seed
    expected = 0
    for worker in range(3):
        firsts = sorted(rng.uniform(0, 3000) for _ in range(60))
        blocks = [line(first, [1] * rng.randint(1, 30)) for first in firsts]
        for place in range(0, 58, 2):  # a block is written before one that began a moment earlier
            if firsts[place + 1] - firsts[place] < hour_file.SLACK_SECONDS:
                blocks[place], blocks[place + 1] = blocks[place + 1], blocks[place]
        expected += sum(len(json.loads(block)["id"]) for block in blocks)
        write(tmp_path, str(worker), b"".join(blocks))
    whole = log_reader.read(tmp_path / OPEN / HOUR).predictions
    monkeypatch.setattr(hour_file, "GROUP_ROWS", 64)
    sealed = sealing.seal(tmp_path, HOUR)
    assert sealed is not None
    assert sealed.manifest.facts["predictions"] == expected
    assert sealed.manifest.facts["unordered_rows"] == 0
    with pq.ParquetFile(sealed.folder / sealing.PREDICTIONS) as parquet:
        assert parquet.num_row_groups > 10
        assert parquet.read().equals(whole)


def test_rows_that_come_much_too_late_are_there_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hour_file, "GROUP_ROWS", 8)
    write(tmp_path, "a", b"".join(line(10 * place, [1] * 10) for place in range(20)) + line(1, [1] * 5))
    sealed = sealing.seal(tmp_path, HOUR)
    assert sealed is not None
    assert (sealed.manifest.facts["predictions"], sealed.manifest.facts["unordered_rows"]) == (205, 5)


def test_columns_of_several_versions_are_put_side_by_side(tmp_path: Path) -> None:
    first = line(1, [1], rows={"raw.a": [1]})
    second = line(2, [1], rows={"raw.a": ["x"], "raw.b": [True]})
    third = line(3, [1], rows={"raw.b": [2.5]})
    old = {"format": BLOCK_FORMAT, "model": "m", "version": "2", "package": "p", "role": "champion", "index": [0]}
    old |= {"id": [f"{int(START):08x}-{1:016x}"], "time": [START + 4], "latency_ms": [1.0], "output": [{"label": "a"}]}
    write(tmp_path, "a", first + second + third + json.dumps(old).encode() + b"\n")
    sealed = sealing.seal(tmp_path, HOUR)
    assert sealed is not None
    assert sealed.manifest.facts["versions"] == ["2", "3"]
    table = pd.read_parquet(sealed.folder / sealing.PREDICTIONS)
    assert table["raw.a"].astype(object).where(table["raw.a"].notna(), None).tolist() == ["1", "x", None, None]
    assert table["raw.b"].astype(object).where(table["raw.b"].notna(), None).tolist() == [None, 1.0, 2.5, None]


def test_what_is_appended_while_an_hour_is_sealed_is_sealed_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a", line(1, [1] * 3))
    real = hour_file.write

    def slow(*words: Any) -> hour_file.HourFacts:
        found = real(*words)
        with path.open("ab") as stream:
            stream.write(line(7, [1] * 2))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(hour_file, "write", slow)
        first = sealing.seal(tmp_path, HOUR)
    second = sealing.seal(tmp_path, HOUR)
    assert first is not None
    assert second is not None
    assert [one.manifest.facts["predictions"] for one in (first, second)] == [3, 2]
    assert second.name == f"{HOUR}.2"
    assert not list((tmp_path / OPEN).iterdir())


def test_a_file_that_grew_after_a_kill_is_not_sealed_twice(tmp_path: Path) -> None:
    write(tmp_path, "a", line(1, [1] * 3))
    assert sealing.seal(tmp_path, HOUR) is not None
    write(tmp_path, "a", line(1, [1] * 3) + line(5, [1] * 2))  # a kill before the removal; then the worker went on
    late = sealing.seal(tmp_path, HOUR)
    assert late is not None
    assert late.manifest.facts["predictions"] == 2
    write(tmp_path, "a", line(9, [1] * 4) + line(11, [1] * 4))  # a new file of the same worker
    last = sealing.seal(tmp_path, HOUR)
    assert last is not None
    assert last.manifest.facts["predictions"] == 8


@pytest.mark.parametrize("late", [False, True])
def test_a_kill_while_lines_are_removed_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    path = write(tmp_path, "a", line(1, [1] * 3))

    class KilledError(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(sealing, "shutil", SimpleNamespace(rmtree=killed))
        with pytest.raises(KilledError):
            sealing.seal(tmp_path, HOUR)
    (aside,) = (tmp_path / OPEN).iterdir()
    assert aside.name.startswith(".")
    if late:
        with (aside / path.name).open("ab") as stream:
            stream.write(line(7, [1] * 2))
    sealed = sealing.seal_closed(tmp_path, START + 7200)
    assert [one.manifest.facts["predictions"] for one in sealed] == ([2] if late else [])
    assert not list((tmp_path / OPEN).iterdir())
