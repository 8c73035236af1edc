"""A copy of the project that a test may do with what it likes, and how to call its command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from components.access.secret import Credentials
from components.core.project import Project
from components.registry.api import Api
from flows.platform import connections, stack_status

COMMAND = [sys.executable, "-m", "flows.cli"]
TRAIN = ("run", "demo", "compare", "try", "tune")  # commands that validate or train


@dataclass(frozen=True, eq=False)
class House:
    """A project folder with a running stack.

    Args:
        hosts: starts hosts that have imported what stages need, for one run after the other; returns the variables
            that name them. Called at the first command that may train.
    """

    root: Path
    hosts: Callable[[], dict[str, str]] = dict

    @property
    def project(self) -> Project:
        """Its paths."""
        return Project(self.root)

    @cached_property
    def environment(self) -> dict[str, str]:
        """This copy's own code comes first, whatever is installed."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MODELYARD_HOST"))}
        return {**kept, "PYTHONPATH": str(self.root), "MODELYARD_PROJECT": str(self.root)}

    @cached_property
    def warm(self) -> dict[str, str]:
        """The variables that name the hosts, which are started now."""
        return self.hosts()

    def _environment_of(self, words: Sequence[str]) -> dict[str, str]:
        return {**self.environment, **(self.warm if words[0] in TRAIN else {})}

    def run(self, *words: str, timeout: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command, to its end; with `check`, its failure is the test's."""
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.root,
            env=self._environment_of(words),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, timeout: float = 300) -> Any:
        """A command's `--json`."""
        return json.loads(self.run(*words, "--json", timeout=timeout).stdout)

    def start(self, *words: str, warm: bool = True) -> subprocess.Popen[str]:
        """One command, left running; if not `warm`, with hosts of its own: whoever ends it ends them."""
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.root,
            env=self._environment_of(words) if warm else self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As in a terminal, also where the tests run as a background job, which ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def pipeline(self, name: str, like: str = "digits", **sections: Any) -> str:
        """Write a pipeline like another one with some sections changed (`{}` empties one); returns its name."""
        document = yaml.safe_load((self.root / "pipelines" / f"{like}.yaml").read_text())
        document["name"] = name
        for section, values in sections.items():
            document[section] = (
                {**document.get(section, {}), **values} if isinstance(values, dict) and values else values
            )
        (self.root / "pipelines" / f"{name}.yaml").write_text(yaml.safe_dump(document))
        return name

    def mlflow(self) -> str:
        """The URL of its registry."""
        return connections.configured(self.project).mlflow

    def api(self) -> Api:
        """Its registry, with its credentials."""
        return Api(self.mlflow(), self.credentials)

    @property
    def credentials(self) -> Credentials | None:
        """What its servers ask for."""
        return connections.credentials(self.project)

    def client(self, url: str, **settings: Any) -> httpx.Client:
        """An HTTP client with its credentials."""
        return connections.client(self.credentials, url, **settings)

    def json_of_status(self) -> list[dict[str, Any]]:
        """The `services` of `status --json`, asked for in this process."""
        return [asdict(row) for row in stack_status.status(self.project)]
