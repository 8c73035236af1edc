"""The registry is asked once a period, and at once when its server notes that an alias is being set."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from components.core.errors import RegistryError
from components.core.project import Project
from components.registry import alias_notes, versions
from components.registry.alias_notes import AliasNote
from components.registry.api import Api
from flows.releases.registry_poll import RegistryPoll

NOTE = AliasNote.new("digits", "champion", "2", by="somebody", claimed=None, known_by="secret", how="the page")


class Registry:
    """Answers with what it is told to, and counts the requests."""

    def __init__(self) -> None:
        self.aliases: dict[str, dict[str, str]] = {"digits": {"champion": "1"}}
        self.down = False
        self.asked = 0

    def answer(self, api: Api) -> dict[str, dict[str, str]]:
        self.asked += 1
        if self.down:
            raise RegistryError("the registry does not answer", got="refused")
        return {name: dict(aliases) for name, aliases in self.aliases.items()}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(versions, "aliases", registry.answer)
    return registry


@pytest.fixture
def poll(tmp_path: Path, registry: Registry) -> RegistryPoll:
    """It asks by itself once an hour."""
    alias_notes.write(Project(tmp_path), NOTE)
    poll = RegistryPoll(Api("http://127.0.0.1:9"), Project(tmp_path), period_seconds=3600)
    poll.start()
    assert poll.changed.wait(5)
    poll.changed.clear()
    return poll


def test_a_note_written_before_the_alias_is_set_is_followed(
    poll: RegistryPoll, registry: Registry, tmp_path: Path
) -> None:
    assert poll.aliases() == {"digits": {"champion": "1"}}
    time.sleep(0.3)
    assert registry.asked == 1
    alias_notes.write(Project(tmp_path), NOTE)
    threading.Timer(0.2, registry.aliases["digits"].update, [{"champion": "2"}]).start()
    assert poll.changed.wait(5)
    assert poll.aliases() == {"digits": {"champion": "2"}}
    time.sleep(1)
    asked = registry.asked
    time.sleep(0.3)
    assert registry.asked == asked  # it is at rest again


def test_a_registry_that_does_not_answer_has_no_aliases(poll: RegistryPoll, registry: Registry, tmp_path: Path) -> None:
    registry.down = True
    alias_notes.write(Project(tmp_path), NOTE)
    assert poll.changed.wait(5)
    assert (poll.aliases(), poll.error()) == (None, "refused")
