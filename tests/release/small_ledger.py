"""Small ledgers, and what one who can write the database may do to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.access import secret
from components.release import entry as entries
from components.release.ledger import Event, Ledger, Role, VersionRef

Rows = list[dict[str, Any]]


def side(version: str | None) -> VersionRef | None:
    return None if version is None else VersionRef(version=version, package_digest=version * 64)


def write(
    ledger: Ledger, release: str, before: str | None, after: str | None, *events: Event, role: Role = "champion"
) -> None:
    for event in events:
        ledger.append(event, release=release, role=role, before=side(before), after=side(after), asked_by="a person")


def two_releases(folder: Path, model: str = "digits") -> Ledger:
    ledger = Ledger(folder, model)
    write(ledger, "one", None, "1", "asked", "verified", "switched", "served")
    write(ledger, "two", "1", "2", "asked", "verified", "refusing", "refused")
    return ledger


def rewrite(ledger: Ledger, change: Callable[[Rows], Rows], *, numbered: bool = True) -> None:
    """Change a model's rows in the database, without the key.

    Args:
        numbered: rows get the sequence numbers of their places, as an index would have them.
    """
    with ledger._database.writing() as connection:
        found = connection.execute("SELECT document FROM entry WHERE model = ? ORDER BY sequence", (ledger.model,))
        rows = change([json.loads(text) for (text,) in found])
        connection.execute("DELETE FROM entry WHERE model = ?", (ledger.model,))
        for place, row in enumerate(rows, 1):
            sequence = place if numbered else row["sequence"]
            connection.execute("INSERT INTO entry VALUES (?, ?, ?)", (ledger.model, sequence, json.dumps(row)))


def chained(rows: Rows) -> Rows:
    """Rows with numbers and digests that fit, as a forger without the key can make them."""
    before = entries.FIRST
    for number, row in enumerate(rows, 1):
        row |= {"sequence": number, "previous": before}
        row["digest"] = before = entries.digest_of(row)
    return rows


def set_head(ledger: Ledger, last: dict[str, Any], signature: str | None = None) -> None:
    """Write the row of the chain's end."""
    words = (last["sequence"], last["digest"], ledger.model)
    with ledger._database.writing() as connection:
        connection.execute("UPDATE head SET sequence = ?, digest = ? WHERE model = ?", words)
        if signature is not None:
            connection.execute("UPDATE head SET signature = ? WHERE model = ?", (signature, ledger.model))


def sign_head(ledger: Ledger, last: dict[str, Any]) -> None:
    """What the owner of the key can do: another entry is the signed end of the chain."""
    key = secret.read(ledger.key_file)
    assert key is not None
    set_head(ledger, last, entries.signature_of_head(key, ledger.model, last["sequence"], last["digest"]))
    ledger.path.with_name(f"{ledger.model}.head").unlink(missing_ok=True)


def cut_with_the_key(ledger: Ledger, count: int) -> None:
    """The last entries are gone, and every signature fits."""
    left: Rows = []
    rewrite(ledger, lambda rows: left.extend(rows[:-count]) or left)
    sign_head(ledger, left[-1])


def old_lines(rows: list[tuple[str, Event, str | None]]) -> list[str]:
    """Lines of a ledger file of before: chained by digest, without signatures.

    Args:
        rows: release, event, version asked for.
    """
    lines, before = [], entries.FIRST
    for number, (release, event, version) in enumerate(rows, 1):
        after = side(version)
        row: dict[str, Any] = {
            "sequence": number,
            "time": f"2026-01-01T00:00:{number:02}.000+00:00",
            "release": release,
            "event": event,
            "role": "champion",
            "before": None,
            "after": after.model_dump() if after else None,
            "asked_by": "ann",
            "facts": {"seconds": 0.1 * number, "words": "größer"},
            "previous": before,
        }
        row["digest"] = before = entries.digest_of(row)
        lines.append(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")
    return lines
