"""If git names no commit, the reason is given: no repository, no commit, no git, or a checkout of another user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from components.core import git
from components.core.project import Project
from components.provenance import source_links
from components.provenance.proof import AbsentError
from flows.pipelines import stages
from flows.platform import diagnostics

HEAD = ("rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit and a project folder in it, under no configuration of this machine."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "it's here"
    folder.mkdir()
    (folder / "requirements.lock").write_text("numpy==2.0\n")
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "1"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture
def foreign(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout, as if it belonged to another user."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own tests of this use it
    return checkout


def test_a_commit_is_named(checkout: Path) -> None:
    assert len(git.ask(checkout, *HEAD).text or "") == 40
    assert stages._environment_facts(Project(checkout), print)["git_commit"] == git.ask(checkout, *HEAD).text


def test_a_checkout_of_another_user_is_named_with_the_command_that_helps(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = git.ask(foreign, *HEAD)
    assert answer.output is None
    assert answer.reason == f"git refuses {foreign}: it belongs to another user"
    finding = diagnostics._git(Project(foreign))
    assert (finding.verdict, finding.found, finding.what_to_do) == ("fail", answer.reason, answer.next_step)
    config = foreign.parent / "gitconfig"
    subprocess.run(["sh", "-c", answer.next_step], env={**os.environ, "GIT_CONFIG_GLOBAL": str(config)}, check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert diagnostics._git(Project(foreign)).verdict == "ok"


def test_a_run_says_that_it_records_no_commit(foreign: Path) -> None:
    messages: list[str] = []
    facts = stages._environment_facts(Project(foreign), messages.append)
    assert facts.keys() == {"lock_digest"}
    assert len(messages) == 1
    assert "safe.directory" in messages[0]


def test_a_proof_does_not_call_it_no_repository(foreign: Path) -> None:
    tags = {source_links.COMMIT: "0" * 40, source_links.LOCK: "0" * 64}
    for link in (source_links.commit, source_links.lock):
        with pytest.raises(AbsentError, match="belongs to another user"):
            link(foreign, {"version": tags})


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not a git repository" in git.ask(tmp_path, *HEAD).reason
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.ask(tmp_path, *HEAD).next_step == "install git"
