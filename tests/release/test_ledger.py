"""The ledger: chained, append-only, whole after a kill in the middle of a line."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import CorruptArtifactError
from components.release import history
from components.release.ledger import Entry, Event, Ledger, Role, Side


def side(version: str | None) -> Side | None:
    return None if version is None else Side(version=version, package_digest=version * 64)


def write(
    ledger: Ledger, release: str, before: str | None, after: str | None, *events: Event, role: Role = "champion"
) -> None:
    for event in events:
        ledger.append(event, release=release, role=role, before=side(before), after=side(after), asked_by="a person")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger" / "digits.jsonl")
    write(ledger, "one", None, "1", "asked", "verified", "switched", "served")
    write(ledger, "two", "1", "2", "asked", "verified", "refusing", "refused")
    return ledger


def test_every_entry_names_the_one_before(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [entry.sequence for entry in entries] == list(range(1, 9))
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]


@pytest.mark.parametrize("line", range(8))
@pytest.mark.parametrize("key", ["event", "time", "asked_by", "release", "previous", "digest", "after"])
def test_a_changed_value_is_found_at_its_line(ledger: Ledger, line: int, key: str) -> None:
    lines = ledger.path.read_text().splitlines()
    entry: dict[str, Any] = json.loads(lines[line])
    changed = {"event": "compared", "after": {"version": "9", "package_digest": None}}
    entry[key] = changed.get(key, "0" * 63 + "1")
    lines[line] = json.dumps(entry)
    ledger.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptArtifactError) as caught:
        ledger.entries()
    assert caught.value.where == f"{ledger.path}:{line + 1}"
    before = ledger.path.read_bytes()
    with pytest.raises(CorruptArtifactError):
        write(ledger, "three", "1", "3", "asked")
    assert ledger.path.read_bytes() == before


@pytest.mark.parametrize("change", ["drop", "swap", "repeat"])
def test_lines_dropped_swapped_and_repeated_are_found(ledger: Ledger, change: str) -> None:
    lines = ledger.path.read_text().splitlines()
    changed = {
        "drop": lines[:2] + lines[3:],
        "swap": [lines[1], lines[0], *lines[2:]],
        "repeat": [*lines[:3], lines[2], *lines[3:]],
    }
    ledger.path.write_text("\n".join(changed[change]) + "\n")
    with pytest.raises(CorruptArtifactError):
        ledger.entries()


def test_a_line_that_a_kill_cut_off_was_never_written(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"sequence":9,"time":"2026-')
    assert len(ledger.entries()) == 8
    write(ledger, "three", "1", "3", "asked")
    assert ledger.path.read_bytes().startswith(whole)
    assert [entry.sequence for entry in ledger.entries()] == list(range(1, 10))


def _append_ten(path: Path, name: str) -> None:
    for _ in range(10):
        write(Ledger(path), name, None, "1", "compared")


def test_writers_at_once_make_one_chain(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_ten, args=(ledger.path, name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ledger.entries()) == 8 + 40


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequence numbers of the lines that are parsed from now on."""
    numbers: list[int] = []
    real = Entry.model_validate_json

    def validate(line: bytes) -> Entry:
        entry = real(line)
        numbers.append(entry.sequence)
        return entry

    monkeypatch.setattr(Entry, "model_validate_json", validate)
    return numbers


def test_a_reader_parses_only_what_was_appended(ledger: Ledger, parsed: list[int]) -> None:
    reader = Ledger(ledger.path)
    reader.entries()
    assert parsed == list(range(1, 9))
    parsed.clear()
    reader.entries()
    assert parsed == []
    write(ledger, "three", "1", "3", "asked", "verified")
    parsed.clear()
    assert [entry.sequence for entry in reader.entries()] == list(range(1, 11))
    assert parsed == [9, 10]
    assert reader.entries() == Ledger(ledger.path).entries()


def test_an_append_reads_only_the_last_line(ledger: Ledger, parsed: list[int]) -> None:
    write(Ledger(ledger.path), "three", "1", "3", "asked", "verified")  # as another process
    assert parsed == [8, 9]
    parsed.clear()
    ledger.path.touch()  # somebody else was at the file: the next append checks all of it, those after it do not
    write(Ledger(ledger.path), "four", "1", "3", "asked", "verified")
    assert parsed == [*range(1, 11), 11]
    assert len(Ledger(ledger.path).entries()) == 12


def test_a_line_longer_than_a_block_is_chained_too(ledger: Ledger) -> None:
    facts = {"reason": "long " * 50_000}
    write(ledger, "three", "1", "3", "asked")
    ledger.append("verified", release="3", role="champion", before=None, after=None, asked_by="a person", facts=facts)
    write(ledger, "three", "1", "3", "bundled")
    assert [entry.sequence for entry in Ledger(ledger.path).entries()] == list(range(1, 12))


def test_a_reader_notices_a_file_that_was_changed_cut_or_replaced(ledger: Ledger) -> None:
    reader = Ledger(ledger.path)
    whole = ledger.path.read_bytes()
    reader.entries()
    lines = whole.splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:3]))
    assert len(reader.entries()) == 3
    ledger.path.write_bytes(whole)
    assert len(reader.entries()) == 8
    # An early line is changed and another one is appended before the reader looks again.
    changed = whole.replace(b'"asked_by":"a person"', b'"asked_by":"A person"', 1)
    write(ledger, "three", "1", "3", "asked")
    ledger.path.write_bytes(changed + ledger.path.read_bytes()[len(whole) :])
    for _ in range(2):
        with pytest.raises(CorruptArtifactError) as caught:
            reader.entries()
        assert caught.value.where == f"{ledger.path}:1"
    ledger.path.unlink()
    assert reader.entries() == []


def test_what_was_left_unfinished(ledger: Ledger) -> None:
    assert history.unfinished(ledger.entries(), "champion") is None
    write(ledger, "three", "1", "3", "asked", "verified")
    left = history.unfinished(ledger.entries(), "champion")
    assert left is not None
    assert (left.id, left.after) == ("three", side("3"))
    assert history.unfinished(ledger.entries(), "challenger") is None
