"""`modelyard drift`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from components.core.errors import UsageError
from components.core.project import Project


@click.command(epilog="Example:  modelyard drift digits --from 2026-11-29")
@click.argument("model")
@click.option("--window", type=click.Choice(["hour", "day"]), help="What is judged at a time. Default: the pipeline's.")
@click.option("--from", "since", metavar="WINDOW", help="The first window: 2026-11-29, or 2026-11-29T13.")
@click.option("--to", "until", metavar="WINDOW", help="The last window.")
@click.option("--again", is_flag=True, help="Also judge windows that were judged before.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def drift(
    model: str, window: str | None, since: str | None, until: str | None, again: bool, as_json: bool
) -> int:  # fmt: skip
    """Judge what MODEL answered, hour by hour or day by day, against what it was validated on.

    Each window that is over is held against the dataset's expectations, its columns and outputs are compared with the
    validation split, and a sequential test watches all windows together. The reports are below
    .modelyard/monitoring/MODEL. A window that was judged is not judged again. The exit code is 1 if there is an alarm.
    """
    from pydantic import ValidationError

    from components.contracts.monitor_spec import MonitorSpec
    from flows.cli import prediction_folder
    from flows.cli.run import log
    from flows.monitoring import looking
    from flows.pipelines import named_pipeline

    project = Project.find()
    prediction_folder.find(project, model)
    spec = named_pipeline.read(project, model)
    _check_bounds(since, until)
    monitor = spec.monitor or MonitorSpec()
    if window is not None:
        try:
            monitor = MonitorSpec.model_validate({**monitor.model_dump(), "window": window})
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UsageError(
                f"--window {window} does not go with monitor: of pipelines/{model}.yaml", got=text
            ) from error
    looking.judge(project, spec, monitor, log, since=since, until=until, again=again)
    verdicts = _verdicts(project.monitoring(model), monitor.window, since, until)
    if as_json:
        click.echo(json.dumps(verdicts, indent=2))
    else:
        _show(verdicts, project.monitoring(model))
    return int(any(one["alarm"] for one in verdicts))


def _check_bounds(*names: str | None) -> None:
    import re

    for name in names:
        if name is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d)?", name):
            raise UsageError("that names no window", got=name, expected="a day or an hour in UTC: 2026-11-29T13")


def _verdicts(folder: Path, window: str, since: str | None, until: str | None) -> list[dict[str, Any]]:
    """The verdicts of judged windows, in order."""
    from flows.monitoring import looking

    length = len("2026-11-29T13") if window == "hour" else len("2026-11-29")
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        is_asked = (since is None or path.name >= since) and (until is None or path.name[: len(until)] <= until)
        if len(path.name) == length and is_asked and (path / looking.VERDICT).is_file():
            found.append(json.loads((path / looking.VERDICT).read_bytes()))
    return found


def _show(verdicts: list[dict[str, Any]], folder: Path) -> None:
    from flows.cli import table

    if not verdicts:
        click.echo("no window is over yet: an hour is judged when it has ended")
        return
    table.show(
        ["window", "version", "answers", "expectations", "different", "evidence", "verdict"],
        [
            [
                one["window"], one["version"], f"{one['rows']:,}", one["expectations_met"],
                str(len(one["different"])), one["evidence_of"], "ALARM" if one["alarm"] else "fine",
            ]
            for one in verdicts
        ],
    )  # fmt: skip
    for one in verdicts:
        for reason in one["reasons"]:
            click.echo(f"{one['window']}: {reason}")
    for note in dict.fromkeys(note for one in verdicts for note in one["notes"]):
        click.echo(f"note: {note}", err=True)
    click.echo(f"reports  {folder}/WINDOW/report.html")
