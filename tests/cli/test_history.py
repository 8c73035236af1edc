"""`modelyard history`: exported, checked, damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.access import secret
from components.core.project import Project
from components.release import ledger_place
from components.release.ledger import Ledger
from tests import postgres_server
from tests.release.small_ledger import chained, old_lines, rewrite, two_releases

Modelyard = Callable[..., Any]


@pytest.fixture
def ledger(project: Path) -> Ledger:
    return two_releases(Project(project).ledger)


def test_history_is_shown_exported_and_checked(inline: Modelyard, project: Path, ledger: Ledger) -> None:
    assert [row["event"] for row in json.loads(inline("history", "digits", "--json").stdout)][-1] == "refused"
    verified = json.loads(inline("history", "digits", "--verify", "--json").stdout)
    assert (verified["entries"], verified["signed"], verified["anchor"]) == (8, True, None)
    exported = inline("history", "digits", "--export", "-")
    assert (exported.returncode, len(exported.stdout.splitlines())) == (0, 9)
    assert inline("history", "digits", "--export", "out.jsonl").returncode == 0
    assert (project / "out.jsonl").read_text() == exported.stdout
    checked = json.loads(inline("history", "--check", "out.jsonl", "--json").stdout)
    assert checked == {"model": "digits", "entries": 8, "head": ledger.entries()[-1].digest, "signed": True}


def test_a_file_is_checked_without_the_key_or_with_one_that_is_named(
    inline: Modelyard, project: Path, ledger: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    inline("history", "digits", "--export", str(elsewhere / "out.jsonl"))
    shutil.move(ledger.key_file, elsewhere / "key")
    completed = inline("history", "--check", str(elsewhere / "out.jsonl"))
    assert (completed.returncode, "the signatures were not checked" in completed.stdout) == (0, True)
    completed = inline("history", "--check", str(elsewhere / "out.jsonl"), "--key", str(elsewhere / "key"))
    assert (completed.returncode, f"signed with {elsewhere / 'key'}" in completed.stdout) == (0, True)
    secret.create(elsewhere / "key")
    completed = inline("history", "--check", str(elsewhere / "out.jsonl"), "--key", str(elsewhere / "key"))
    assert (completed.returncode, "not signed with the ledger key" in completed.stderr) == (1, True)
    assert inline("history", "--check", "nowhere.jsonl").returncode == 2
    assert inline("history", "--check", str(elsewhere / "out.jsonl"), "--key", "nowhere").returncode == 2
    assert inline("history").returncode == 2


def test_forged_history_fails_and_names_the_entry(inline: Modelyard, project: Path, ledger: Ledger) -> None:
    inline("history", "digits", "--export", "out.jsonl")
    lines = (project / "out.jsonl").read_text().splitlines(keepends=True)
    (project / "out.jsonl").write_text("".join([*lines[:2], lines[2].replace("a person", "a forger"), *lines[3:]]))
    completed = inline("history", "--check", "out.jsonl")
    assert (completed.returncode, "out.jsonl:3" in completed.stderr) == (1, True)
    rewrite(ledger, lambda rows: chained([{**row, "asked_by": "a forger"} for row in rows]))
    for arguments in (["history", "digits"], ["history", "digits", "--verify"], ["history", "digits", "--export", "-"]):
        completed = inline(*arguments)
        assert (completed.returncode, completed.stdout, "Traceback" in completed.stderr) == (1, "", False)
        assert "entries were cut off or replaced" in completed.stderr


def test_after_a_lost_key(inline: Modelyard, project: Path, ledger: Ledger) -> None:
    ledger.key_file.unlink()
    lost = inline("history", "digits")
    assert (lost.returncode, "modelyard history --sign-anew" in lost.stderr) == (1, True)
    (note,) = json.loads(inline("history", "--sign-anew", "--json").stdout)
    assert (note["event"], note["facts"]["entries"]) == ("rekeyed", 8)
    printed = inline("history", "digits", "--steps")
    assert printed.returncode == 0
    assert "rekeyed" in printed.stdout


def test_a_file_of_before_is_shown_as_before(inline: Modelyard, project: Path) -> None:
    folder = Project(project).ledger
    folder.mkdir(parents=True)
    (folder / "digits.jsonl").write_text("".join(old_lines([("one", "asked", "1"), ("one", "served", "1")])))
    printed = inline("history", "digits", "--steps").stdout
    assert [line.split()[5] for line in printed.splitlines()[1:]] == ["asked", "served", "imported"]


@pytest.mark.slow
@pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
def test_before_the_first_release_the_server_of_the_ledger_is_named(
    inline: Modelyard, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server.running() as server:
        (project / "modelyard.toml").write_text(f'[connections]\nledger = "{server.url}"\n')
        monkeypatch.setenv(ledger_place.CREDENTIALS, server.credentials)
        for words in (("digits",), ("digits", "--export", "-")):
            said = inline("history", *words).stderr
            assert server.url in said
            assert "ledger.db" not in said
        ledger_place.forget(Project(project))
