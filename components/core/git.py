"""Runs git in a project's folder, and explains failures."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """The output of a git command, or the reason of its failure.

    Args:
        output: standard output; None if git failed or is not installed.
        reason: why there is no output; empty if there is output.
        next_step: the command that repairs the failure; empty if none is known.
    """

    output: bytes | None
    reason: str = ""
    next_step: str = ""

    @property
    def text(self) -> str | None:
        """The output as one line of text."""
        return None if self.output is None else self.output.decode().strip()


def ask(root: Path, *arguments: str) -> Answer:
    """Run `git` in a folder. The refusal of git to read another user's checkout has a reason and a next step."""
    try:
        completed = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        return Answer(None, "git is not installed", "install git")
    if completed.returncode == 0:
        return Answer(completed.stdout)
    message = completed.stderr.decode(errors="replace").strip()
    if "dubious ownership" in message:
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
        return Answer(
            None,
            f"git refuses {top}: it belongs to another user",
            f"git config --global --add safe.directory {shlex.quote(str(top))}",
        )
    return Answer(None, message.removeprefix("fatal: ").partition("\n")[0] or f"exit code {completed.returncode}")
