from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from components.core.errors import GateRefused, Interrupted
from flows.cli import main, shell

Modelyard = Callable[..., Any]


def test_help_lists_every_command(modelyard: Modelyard) -> None:
    completed = modelyard("--help")
    assert completed.returncode == 0
    for name in shell.COMMANDS:
        assert f"\n  {name} " in completed.stdout


@pytest.mark.parametrize("name", shell.COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    module, _, attribute = shell.COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert len(command.help or "") > 20
    assert "Example:" in (command.epilog or "")
    assert f"modelyard {name}" in (command.epilog or "")


def test_used_wrongly_is_2_and_names_the_nearest_command(modelyard: Modelyard) -> None:
    completed = modelyard("statsu")
    assert completed.returncode == 2
    assert "Did you mean 'status'?" in completed.stderr
    assert modelyard("status", "--colour").returncode == 2
    assert "Traceback" not in modelyard("status", "--colour").stderr


@pytest.mark.slow
def test_outside_a_project_the_error_has_no_traceback(modelyard: Modelyard, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").unlink()
    completed = modelyard("status")
    assert completed.returncode == 2
    assert completed.stderr.startswith("no Modelyard project here\n")
    assert "MODELYARD_PROJECT" in completed.stderr
    assert completed.stdout == ""


@pytest.mark.slow
def test_errors_are_json_with_the_option_json(modelyard: Modelyard) -> None:
    completed = modelyard("schedule", "--json")
    assert completed.returncode == 1
    document = json.loads(completed.stdout)
    assert document["error"] == "StackError"
    assert document["next_step"] == "modelyard up"


def test_a_gate_and_ctrl_c_have_their_own_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command_that_raises(error: BaseException) -> click.Command:
        def body() -> None:
            raise error

        return click.Command("status", callback=body)

    for error, code in [
        (GateRefused("accuracy too low", got=0.5, expected="at least 0.9"), 3),
        (Interrupted("stopped"), 130),
        (KeyboardInterrupt(), 130),
    ]:
        command = command_that_raises(error)
        monkeypatch.setattr(shell.Shell, "get_command", lambda *_, command=command: command)
        assert main(["status"]) == code
    assert "expected: at least 0.9" in capsys.readouterr().err


@pytest.mark.slow
def test_no_colour_codes_reach_a_pipe(modelyard: Modelyard) -> None:
    assert "\x1b" not in modelyard("status").stdout
    assert "\x1b" not in modelyard("status", FORCE_COLOR="").stderr
