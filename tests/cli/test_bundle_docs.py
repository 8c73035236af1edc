"""Every command in docs/bundles.md exists, with the options that the page names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from flows.cli.shell import modelyard

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bundles.md"
LINES = re.findall(r"^ {4}(modelyard .+)$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_it_can_be_parsed(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    context = click.Context(modelyard, info_name="modelyard")
    command = modelyard.get_command(context, name)
    assert command is not None
    command.make_context(name, arguments, parent=context)


def test_the_page_has_commands() -> None:
    assert {shlex.split(line)[1] for line in LINES} == {"bundle", "verify", "import", "containerize"}
