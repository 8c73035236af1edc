"""Which host serves which model, `models` of `[hosts.NAME]`: checked against the pipelines before any work."""

from __future__ import annotations

import re

from components.contracts import settings
from components.core.errors import Problem, SpecError
from components.core.project import Project


def check(project: Project, model: str | None = None) -> None:
    """Check that every model that a host is to serve is a pipeline, and that a host is to serve `model`.

    Raises:
        SpecError: `modelyard.toml` is wrong, or names a model that is no pipeline, or no host is to serve `model`.
    """
    found = problems(project, model)
    if found:
        raise SpecError(str(project.root / settings.FILE_NAME), found)


def problems(project: Project, model: str | None = None) -> tuple[Problem, ...]:
    """What is wrong; models without a host are no problem unless they are asked for.

    Raises:
        SpecError: `modelyard.toml` cannot be read.
    """
    hosts = settings.read(project.root).hosts
    pipelines = sorted(path.stem for path in project.pipelines.glob("*.yaml"))
    found = [
        Problem(
            f"hosts.{name}.models",
            f"no such pipeline; there are {', '.join(pipelines) or 'none'}",
            _line(project, name),
            got=one,
        )
        for name, host in hosts.items()
        for one in host.models or ()
        if one not in pipelines
    ]
    if model is not None and hosts and not any(host.serves(model) for host in hosts.values()):
        found.append(Problem("hosts", f"no host is to serve {model}: add it to `models` of one of them"))
    return tuple(found)


def _line(project: Project, host: str) -> int | None:
    """The line of a host's models, else of its section."""
    found = None
    for number, line in enumerate((project.root / settings.FILE_NAME).read_text(encoding="utf-8").splitlines(), 1):
        if head := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = [part.strip().strip('"') for part in head[1].split(".", 1)]
            if section == ["hosts", host]:
                found = number
            elif found is not None:
                break
        elif found is not None and re.match(r"\s*models\s*=", line):
            return number
    return found
