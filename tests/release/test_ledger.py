"""The ledger: chained, signed, append-only, whole after a kill between any two statements."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from components.access import secret
from components.core.errors import CorruptArtifactError, DiskFullError, StackError
from components.release import entry as entries_
from components.release import history, ledger_database, ledger_file
from components.release.ledger import Entry, Ledger, MovedOnError
from tests.release.small_ledger import (
    Rows,
    chained,
    cut_with_the_key,
    old_lines,
    rewrite,
    set_head,
    side,
    two_releases,
    write,
)
from tests.small_disk import fill, mounted

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return two_releases(tmp_path / "ledger")


def again(ledger: Ledger) -> Ledger:
    """The same ledger, as another process opens it."""
    return Ledger(ledger.path.parent, ledger.model)


def append(ledger: Ledger, **facts: Any) -> Entry:
    return ledger.append(
        "compared", release="r", role="champion", before=None, after=None, asked_by="a test", facts=facts
    )


def test_every_entry_names_the_one_before_and_is_signed(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [entry.sequence for entry in entries] == list(range(1, 9))
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]
    assert len({entry.signature for entry in entries}) == 8
    assert again(ledger).entries() == entries
    assert (again(ledger).head(), again(ledger).since(6)) == (entries[-1], entries[6:])
    assert (again(ledger).since(8), again(ledger).since(0), ledger.since(5)) == ([], entries, entries[5:])


def test_reading_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", "digits")
    assert (ledger.entries(), ledger.head(), ledger.since(0), ledger.export(io.StringIO())) == ([], None, [], 0)
    assert not (tmp_path / "ledger").exists()


def test_only_the_owner_can_read_key_and_database(ledger: Ledger) -> None:
    assert ledger.key_file.stat().st_mode & 0o777 == 0o600
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(ledger.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_models_share_a_database_and_no_chain(ledger: Ledger) -> None:
    other = two_releases(ledger.path.parent, "fashion")
    assert [entry.sequence for entry in other.entries()] == list(range(1, 9))
    assert other.entries()[0].digest != other.entries()[1].digest
    rows: Rows = []
    rewrite(ledger, lambda found: rows.extend(found) or found)
    rewrite(other, lambda _: rows)  # a whole chain, under another model's name
    with pytest.raises(CorruptArtifactError):
        again(other).entries()


# What one who can write the database can do, and what one who has the file of the key can


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("key", ["event", "time", "asked_by", "release", "previous", "digest", "after", "signature"])
def test_a_changed_value_is_found_at_its_entry(ledger: Ledger, place: int, key: str) -> None:
    def change(rows: Rows) -> Rows:
        changed = {"event": "compared", "after": {"version": "9", "package_digest": None}}
        rows[place][key] = changed.get(key, "0" * 63 + "1")
        return rows

    rewrite(ledger, change)
    with pytest.raises(CorruptArtifactError) as caught:
        again(ledger).entries()
    if (place, key) != (7, "digest"):  # then it is not the entry that the signed end names
        assert caught.value.where == f"{ledger.path}, digits entry {place + 1}" or place == 7


@pytest.mark.parametrize("key", ["event", "asked_by", "after"])
def test_a_changed_entry_whose_chain_was_made_anew_has_no_signature(ledger: Ledger, key: str) -> None:
    def change(rows: Rows) -> Rows:
        rows[2][key] = {"event": "compared", "after": None}.get(key, "somebody else")
        return chained(rows)

    rewrite(ledger, change)
    with pytest.raises(CorruptArtifactError):
        again(ledger).entries()
    with closing(sqlite3.connect(ledger.path)) as connection:
        text = connection.execute("SELECT document FROM entry ORDER BY sequence DESC LIMIT 1").fetchone()[0]
    set_head(ledger, json.loads(text))
    with pytest.raises(CorruptArtifactError, match="not signed with the ledger key"):
        again(ledger).entries()
    with pytest.raises(CorruptArtifactError, match="not signed with the ledger key"):
        write(again(ledger), "three", "1", "3", "asked")


@pytest.mark.parametrize("change", ["drop", "swap", "repeat", "add"])
def test_entries_dropped_swapped_repeated_and_added_are_found(ledger: Ledger, change: str) -> None:
    changes = {
        "drop": lambda rows: rows[:2] + rows[3:],
        "swap": lambda rows: [rows[1], rows[0], *rows[2:]],
        "repeat": lambda rows: [*rows[:3], rows[2], *rows[3:]],
        "add": lambda rows: chained([*rows, {**rows[-1], "asked_by": "a forger"}]),
    }
    rewrite(ledger, changes[change])
    with pytest.raises(CorruptArtifactError):
        again(ledger).entries()
    if change != "swap":  # then the end alone is as it was
        for call in (again(ledger).head, lambda: append(again(ledger))):
            with pytest.raises(CorruptArtifactError):
                call()


@pytest.mark.parametrize("also", [[], ["row"], ["row", "file"]])
def test_a_cut_off_end_is_missed(ledger: Ledger, also: list[str]) -> None:
    rewrite(ledger, lambda rows: rows[:5])
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as connection:
        fifth = json.loads(connection.execute("SELECT document FROM entry WHERE sequence = 5").fetchone()[0])
    if "row" in also:
        set_head(ledger, fifth)
    if "file" in also:
        ledger.path.with_name("digits.head").unlink()
    for call in (again(ledger).entries, again(ledger).head, lambda: append(again(ledger))):
        with pytest.raises(CorruptArtifactError):
            call()


def test_a_whole_history_taken_away_is_missed(ledger: Ledger) -> None:
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM entry")
        connection.execute("DELETE FROM head")
    with pytest.raises(CorruptArtifactError, match="cut off or replaced"):
        ledger.entries()
    for path in ledger.path.parent.glob("ledger.db*"):
        path.unlink()
    with pytest.raises(CorruptArtifactError, match="cut off or replaced"):
        ledger.head()
    with pytest.raises(CorruptArtifactError, match="cut off or replaced"):
        append(again(ledger))


def test_an_earlier_copy_of_the_database_is_noticed_and_can_be_accepted(ledger: Ledger, tmp_path: Path) -> None:
    with closing(sqlite3.connect(ledger.path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as target:
        source.backup(target)
    write(ledger, "three", "1", "3", "asked")
    reader = again(ledger)
    reader.entries()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        ledger.path.with_name(name).unlink(missing_ok=True)
    (tmp_path / "copy").replace(ledger.path)
    for one in (again(ledger), reader):
        with pytest.raises(CorruptArtifactError, match="cut off or replaced") as caught:
            one.entries()
    assert "remove digits.head" in str(caught.value.next_step)
    ledger.path.with_name("digits.head").unlink()
    assert [len(one.entries()) for one in (again(ledger), reader)] == [8, 8]
    assert append(reader).sequence == 9


def test_who_has_the_key_can_cut_and_only_a_memory_elsewhere_tells(ledger: Ledger) -> None:
    cut_with_the_key(ledger, 3)
    assert len(again(ledger).entries()) == 5


def test_another_key_fits_nothing(ledger: Ledger) -> None:
    whole = ledger.key_file.read_bytes()
    secret.create(ledger.key_file)
    for call in (again(ledger).entries, again(ledger).head, lambda: append(again(ledger))):
        with pytest.raises(CorruptArtifactError, match="not signed with the ledger key"):
            call()
    ledger.key_file.write_bytes(whole)
    assert len(again(ledger).entries()) == 8


def test_a_missing_key_is_never_made_anew_by_itself(ledger: Ledger) -> None:
    ledger.key_file.unlink()
    for call in (again(ledger).entries, again(ledger).head, lambda: append(again(ledger))):
        with pytest.raises(CorruptArtifactError, match="ledger key is missing") as caught:
            call()
        assert "--sign-anew" in str(caught.value.next_step)
    assert not ledger.key_file.exists()


def test_a_key_that_others_can_read_is_refused(ledger: Ledger) -> None:
    ledger.key_file.chmod(0o644)
    with pytest.raises(StackError, match="others can read the ledger key"):
        again(ledger).entries()


def test_after_a_lost_key_all_is_signed_anew_and_an_entry_says_so(ledger: Ledger) -> None:
    before = [entry.model_dump(exclude={"signature"}) for entry in ledger.entries()]
    ledger.key_file.unlink()
    note = again(ledger).sign_anew("the disk was lost")
    assert note is not None
    assert (note.event, note.sequence, note.facts["entries"]) == ("rekeyed", 9, 8)
    for one in (ledger, again(ledger)):
        entries = one.entries()
        assert [entry.model_dump(exclude={"signature"}) for entry in entries[:-1]] == before
        assert entries[-1] == note
        assert history.unfinished(entries, "champion") is None
    assert append(ledger).sequence == 10


def test_a_broken_chain_is_not_signed_anew(ledger: Ledger) -> None:
    rewrite(ledger, lambda rows: [{**row, "asked_by": "a forger"} for row in rows])
    with pytest.raises(CorruptArtifactError, match="an entry was changed"):
        again(ledger).sign_anew("never mind")
    with pytest.raises(CorruptArtifactError, match="an entry was changed"):
        again(ledger).entries()


# Reading again, and what it costs


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequence numbers of the entries that are parsed from now on."""
    numbers: list[int] = []
    real = entries_.parsed

    def parse(text: str | bytes, where: str) -> dict[str, Any]:
        document = real(text, where)
        if "event" in document:
            numbers.append(document["sequence"])
        return document

    monkeypatch.setattr(entries_, "parsed", parse)
    return numbers


def test_a_reader_parses_only_what_was_appended(ledger: Ledger, parsed: list[int]) -> None:
    reader = again(ledger)
    reader.entries()
    assert set(parsed) == set(range(1, 9))
    parsed.clear()
    reader.entries()
    assert set(parsed) == {8}
    write(ledger, "three", "1", "3", "asked", "verified")
    parsed.clear()
    assert [entry.sequence for entry in reader.entries()] == list(range(1, 11))
    assert set(parsed) == {8, 9, 10}
    assert reader.entries() == again(ledger).entries()
    parsed.clear()
    assert [entry.sequence for entry in again(ledger).since(9)] == [10]
    again(ledger).head()
    assert set(parsed) == {9, 10}


def _steps(ledger: Ledger) -> tuple[int, int]:
    """Instructions of SQLite's machine, and statements, that one append and one look at the end take."""
    steps, statements = [0], [0]

    def step() -> int:
        steps[0] += 1
        return 0

    def statement(_: str) -> None:
        statements[0] += 1

    database = ledger_database.at(ledger.path)
    connections = [link.connected() for link in (database._reader, database._writer)]
    for connection in connections:
        connection.set_progress_handler(step, 1)
        connection.set_trace_callback(statement)
    append(ledger)
    ledger.head()
    for connection in connections:
        connection.set_progress_handler(None, 0)
        connection.set_trace_callback(None)
    return steps[0], statements[0]


def test_an_append_costs_the_same_however_long_the_ledger_is(tmp_path: Path, parsed: list[int]) -> None:
    few = two_releases(tmp_path / "few")
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "digits.jsonl").write_text("".join(old_lines([("one", "compared", "1")] * 3000)))
    long = Ledger(tmp_path / "long", "digits")
    assert append(long).sequence == 3002
    parsed.clear()
    assert _steps(few) == _steps(long)
    assert set(parsed) == {8, 9, 3002, 3003}


def test_a_long_entry_is_chained_too(ledger: Ledger) -> None:
    append(ledger, reason="long " * 50_000)
    append(ledger)
    assert [entry.sequence for entry in again(ledger).entries()] == list(range(1, 11))


def test_a_figure_that_is_no_number_is_recorded_as_null(ledger: Ledger) -> None:
    assert append(ledger, figure=float("nan")).facts == {"figure": None}
    assert again(ledger).entries()[-1].facts == {"figure": None}


def test_what_the_caller_has_seen_must_be_the_end(ledger: Ledger) -> None:
    def at(last: int) -> Entry:
        return ledger.append(
            "asked", release="3", role="champion", before=None, after=None, asked_by="a test", if_last=last
        )

    assert at(8).sequence == 9
    for last in (0, 8, 10):
        with pytest.raises(MovedOnError):
            at(last)
    assert again(ledger).head() == ledger.entries()[-1]


def test_events_of_a_newer_version_are_followed_and_not_read(ledger: Ledger) -> None:
    key = secret.read(ledger.key_file)
    assert key is not None

    def newer(rows: Rows) -> Rows:
        rows[-1]["event"] = "teleported"
        chained(rows)
        rows[-1]["signature"] = entries_.signature_of_entry(key, "digits", rows[-1]["digest"])
        return rows

    rewrite(ledger, newer)
    ledger.path.with_name("digits.head").unlink()
    cut_to = again(ledger)
    with closing(sqlite3.connect(ledger.path)) as connection:
        last = json.loads(connection.execute("SELECT document FROM entry WHERE sequence = 8").fetchone()[0])
    set_head(ledger, last, entries_.signature_of_head(key, "digits", 8, last["digest"]))
    assert append(cut_to).sequence == 9
    assert again(ledger).export(io.StringIO()) == 9
    assert [entry.event for entry in again(ledger).since(8)] == ["compared"]
    with pytest.raises(CorruptArtifactError, match="cannot be read") as caught:
        again(ledger).entries()
    assert "newer Modelyard" in str(caught.value.next_step)


# Several processes, and kills


def _append_many(folder: Path, name: str, count: int) -> None:
    for _ in range(count):
        write(Ledger(folder, "digits"), name, None, "1", "compared")
    ledger = Ledger(folder, "digits")
    for _ in range(count):
        write(ledger, name, None, "1", "compared")


@pytest.mark.slow
def test_writers_at_once_make_one_chain_from_the_very_first_entry_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(tmp_path / "ledger", name, 40)) for name in "abcdef"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 6
    entries = Ledger(tmp_path / "ledger", "digits").entries()
    assert len(entries) == 480
    assert {name: sum(entry.release == name for entry in entries) for name in "abcdef"} == dict.fromkeys("abcdef", 80)


@pytest.mark.slow
def test_of_writers_that_saw_the_same_end_one_appends(ledger: Ledger) -> None:
    def one(results: Any) -> None:
        try:
            again(ledger).append(
                "asked", release="3", role="champion", before=None, after=None, asked_by="x", if_last=8
            )
            results.put("appended")
        except MovedOnError:
            results.put("moved on")

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    writers = [context.Process(target=one, args=(results,)) for _ in range(5)]
    for writer in writers:
        writer.start()
    found = sorted(results.get() for _ in writers)
    for writer in writers:
        writer.join()
    assert found == ["appended"] + ["moved on"] * 4
    assert len(ledger.entries()) == 9


def test_a_forked_process_uses_a_connection_of_its_own(ledger: Ledger) -> None:
    ledger.entries()  # its connection is open

    def child() -> None:
        append(ledger)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    append(ledger)
    assert [entry.sequence for entry in again(ledger).entries()] == list(range(1, 11))


def _append_and_die(folder: Path, number: int) -> None:
    """Append, and kill this process at the n-th statement or step with files."""
    count = [0]

    def tick(*_: object) -> None:
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def ticking(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            tick()
            result = function(*arguments, **options)
            tick()
            return result

        return call

    class Connection(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            tick()
            super().__init__(*arguments, **options)
            self.set_trace_callback(tick)

    real = sqlite3.connect
    sqlite3.connect = lambda *arguments, **options: real(*arguments, factory=Connection, **options)
    for name in ("write_text", "replace", "chmod", "unlink"):
        setattr(Path, name, ticking(getattr(Path, name)))
    for name in ("link", "fsync", "open"):
        setattr(os, name, ticking(getattr(os, name)))
    append(Ledger(folder, "digits"))


def _killed_at(folder: Path, number: int) -> bool:
    """Append in a process that is killed at its n-th step; False if it came to its end before."""
    context = multiprocessing.get_context("forkserver")  # this process is large, and a copy of it takes its time
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_append_and_die, args=(folder, number))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.slow
@pytest.mark.parametrize("start", ["nothing", "ledger", "old file"])
def test_killed_between_any_two_statements_the_next_one_goes_on(tmp_path: Path, start: str) -> None:
    prepared = tmp_path / "prepared"
    old = old_lines([("one", "asked", "1"), ("one", "served", "1")])
    if start == "ledger":
        two_releases(prepared)
    else:
        prepared.mkdir()
        if start == "old file":
            (prepared / "digits.jsonl").write_text("".join(old))
    known = {"nothing": 0, "ledger": 8, "old file": 3}[start]
    number = 1
    while True:
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(prepared, folder)
        killed = _killed_at(folder, number)
        count = len(Ledger(folder, "digits").entries())
        assert count in (known, known + 1), number
        assert killed or count == known + 1
        assert append(Ledger(folder, "digits")).sequence == count + 1
        entries = Ledger(folder, "digits").entries()
        if start == "old file":
            assert [entry.digest for entry in entries[:2]] == [json.loads(line)["digest"] for line in old]
            assert (folder / "digits.jsonl.imported").read_text() == "".join(old)
            assert not (folder / "digits.jsonl").exists()
        shutil.rmtree(folder)
        if not killed:
            break
        number += 1
    assert number > 12


APPENDING = """
import sys
from pathlib import Path
from components.release.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "digits")
while True:
    entry = ledger.append("compared", release="9", role="champion", before=None, after=None, asked_by="it")
    print(entry.sequence, entry.digest, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there(ledger: Ledger) -> None:
    acknowledged: dict[int, str] = {}
    dice = random.Random(0)  # noqa: S311  # no secret
    for _ in range(4):
        words = [sys.executable, "-c", APPENDING, str(ledger.path.parent)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(dice.random() / 5)
            process.kill()
            lines = [first, *process.stdout.read().splitlines()]
        for line in lines:
            sequence, _, digest = line.strip().partition(" ")
            if len(digest) == 64:
                acknowledged[int(sequence)] = digest
    entries = again(ledger).entries()
    assert len(acknowledged) >= 4
    assert all(entries[number - 1].digest == digest for number, digest in acknowledged.items())
    assert len(entries) <= 8 + len(acknowledged) + 4  # written, and killed before it said so


# The file of before


def test_a_file_of_before_is_taken_over_with_its_digests(tmp_path: Path) -> None:
    lines = old_lines([("one", "asked", "1"), ("one", "served", "1"), ("two", "asked", "2")])
    (tmp_path / "digits.jsonl").write_text("".join(lines) + '{"sequence":4,"time":"2026-')  # cut off by a kill
    entries = Ledger(tmp_path, "digits").entries()
    assert [entry.digest for entry in entries[:3]] == [json.loads(line)["digest"] for line in lines]
    assert (entries[3].event, entries[3].facts["entries"]) == ("imported", 3)
    assert entries[3].facts["file"] == "digits.jsonl.imported"
    assert (tmp_path / "digits.jsonl.imported").read_text().startswith("".join(lines))
    assert not (tmp_path / "digits.jsonl").exists()
    left = history.unfinished(entries, "champion")
    assert left is not None
    assert left.id == "two"
    assert history.served_well(entries) == [side("1")]
    again(Ledger(tmp_path, "digits")).export(io.StringIO())


@pytest.mark.parametrize("content", ["", '{"sequence":1,"ti'])
def test_a_file_of_before_without_a_whole_line_is_an_empty_ledger(tmp_path: Path, content: str) -> None:
    (tmp_path / "digits.jsonl").write_text(content)
    assert Ledger(tmp_path, "digits").entries() == []
    assert (tmp_path / "digits.jsonl.imported").read_text() == content


@pytest.mark.parametrize("change", ["value", "drop", "swap", "garbage"])
def test_a_broken_file_of_before_is_refused_and_stays(tmp_path: Path, change: str) -> None:
    lines = old_lines([("one", "asked", "1"), ("one", "verified", "1"), ("one", "served", "1")])
    changed = {
        "value": [lines[0], lines[1].replace("ann", "bob"), lines[2]],
        "drop": [lines[0], lines[2]],
        "swap": [lines[1], lines[0], lines[2]],
        "garbage": [lines[0], "\0\0\0\n", lines[2]],
    }[change]
    path = tmp_path / "digits.jsonl"
    path.write_text("".join(changed))
    for call in (Ledger(tmp_path, "digits").entries, lambda: append(Ledger(tmp_path, "digits"))):
        with pytest.raises(CorruptArtifactError, match="cannot be taken over") as caught:
            call()
        assert str(caught.value.where).startswith(f"{path}:")
        assert "move it to another folder" in str(caught.value.next_step)
    assert path.read_text() == "".join(changed)
    path.rename(tmp_path / "kept.jsonl")
    assert append(Ledger(tmp_path, "digits")).sequence == 1


def test_a_file_that_an_earlier_modelyard_writes_beside_the_database_is_refused(ledger: Ledger) -> None:
    path = ledger.path.with_name("digits.jsonl")
    path.write_text("".join(old_lines([("nine", "asked", "9")])))
    with pytest.raises(CorruptArtifactError, match="two ledgers of digits"):
        again(ledger).entries()
    path.unlink()
    assert len(again(ledger).entries()) == 8


# Exported files


def exported(ledger: Ledger, path: Path) -> list[str]:
    with path.open("w") as stream:
        assert ledger.export(stream) == 8
    return path.read_text().splitlines(keepends=True)


def test_an_exported_file_is_checked_with_and_without_the_key(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "digits.export"
    lines = exported(ledger, path)
    assert len(lines) == 9
    assert [Entry.model_validate_json(line) for line in lines[:-1]] == ledger.entries()
    key = secret.read(ledger.key_file)
    found = ledger_file.check(path, key)
    assert (found.model, found.entries, found.signed) == ("digits", 8, True)
    assert found.head == ledger.entries()[-1].digest
    assert ledger_file.check(path, None).signed is False
    with pytest.raises(CorruptArtifactError, match="not signed with the ledger key"):
        ledger_file.check(path, "another key")


@pytest.mark.parametrize("change", ["value", "drop", "swap", "cut", "cut all", "end", "forged", "forged end", "empty"])
def test_an_edited_export_is_found(ledger: Ledger, tmp_path: Path, change: str) -> None:
    path = tmp_path / "digits.export"
    lines = exported(ledger, path)
    forged = chained([{**json.loads(line), "asked_by": "a forger"} for line in lines[:-1]])
    head = {"model": "digits", "sequence": 8, "digest": forged[-1]["digest"], "signature": "0" * 64}
    fifth = {**json.loads(lines[-1])["head"], "sequence": 5, "digest": json.loads(lines[4])["digest"]}
    changed = {
        "value": [lines[0], lines[1].replace("a person", "a forger"), *lines[2:]],
        "drop": lines[:3] + lines[4:],
        "swap": [lines[1], lines[0], *lines[2:]],
        "cut": [*lines[:5], lines[-1]],
        "cut all": [lines[-1]],
        "end": lines[:-1],
        "forged": [json.dumps(row) + "\n" for row in (*forged, {"head": head})],
        "forged end": [*lines[:5], json.dumps({"head": fifth}) + "\n"],
        "empty": [],
    }[change]
    path.write_text("".join(changed))
    with pytest.raises(CorruptArtifactError) as caught:
        ledger_file.check(path, secret.read(ledger.key_file))
    assert str(caught.value.where).startswith(f"{path}:")


# What can be wrong with a machine


def test_a_full_disk_is_one_error_and_the_ledger_goes_on_with_space(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=1) as disk:
        filler = fill(disk)
        with pytest.raises(DiskFullError):
            append(Ledger(disk / "ledger", "digits"))
        filler.unlink()
        ledger = two_releases(disk / "ledger")
        filler = fill(disk)
        with pytest.raises(DiskFullError, match="no space left on the disk") as caught:
            append(ledger, reason="long " * 10_000)
        assert str(disk) in str(caught.value.where)
        with pytest.raises(DiskFullError):
            append(again(ledger), reason="long " * 10_000)
        assert len(ledger.entries()) == 8
        filler.unlink()
        assert append(ledger).sequence == 9
        assert len(again(ledger).entries()) == 9


def test_a_database_that_is_damaged_says_what_to_do(ledger: Ledger) -> None:
    for number in range(100):
        append(ledger, number=number, words="some " * 100)
    ledger._database.close()  # what the log holds goes into the file
    content = bytearray(ledger.path.read_bytes())
    assert len(content) > 20 * 4096
    for begin in range(2 * 4096, len(content), 4096):
        content[begin : begin + 512] = bytes(512)
    ledger.path.write_bytes(content)
    for call in (again(ledger).entries, again(ledger).head, lambda: append(again(ledger))):
        with pytest.raises(CorruptArtifactError) as caught:
            call()
        assert "restore" in str(caught.value.next_step)
    ledger.path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(CorruptArtifactError, match="database is damaged"):
        again(ledger).entries()


def test_a_database_of_another_user_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StackError, match="the ledger belongs to another user"):
        ledger_database._Link(ledger.path).connected()


def test_a_writer_that_never_ends_is_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_database, "BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StackError, match="another process keeps the ledger locked"):
            append(again(ledger))
        assert len(again(ledger).entries()) == 8  # readers do not wait
        connection.execute("ROLLBACK")
    assert append(again(ledger)).sequence == 9


# What the entries mean


def test_what_was_left_unfinished(ledger: Ledger) -> None:
    assert history.unfinished(ledger.entries(), "champion") is None
    write(ledger, "three", "1", "3", "asked", "verified")
    left = history.unfinished(ledger.entries(), "champion")
    assert left is not None
    assert (left.id, left.after) == ("three", side("3"))
    assert history.unfinished(ledger.entries(), "challenger") is None


def test_the_origin_is_the_first_entry_of_a_ledger(tmp_path: Path) -> None:
    ledger, other = Ledger(tmp_path / "one", "digits"), Ledger(tmp_path / "other", "digits")
    assert ledger.origin() is None
    first = append(ledger)
    append(ledger)
    append(other)
    assert ledger.origin() == again(ledger).origin() == first.digest
    assert other.origin() not in (None, first.digest)
    ledger.sign_anew("the key was lost")
    assert again(ledger).origin() == first.digest
