"""`modelyard approve`"""

from __future__ import annotations

import click

from components.core.errors import NotFoundError
from components.core.project import Project


@click.command(epilog='Example:  modelyard approve digits --comment "read the report"')
@click.argument("name")
@click.option("--no", "refuses", is_flag=True, help="Refuse the release.")
@click.option("--comment", default="", help="Kept in the ledger.")
def approve(name: str, refuses: bool, comment: str) -> int:
    """Answer the release of NAME that waits for a person (`gates: {manual: ...}`), as the form in Prefect does.

    With `[people] enabled` in modelyard.toml you need MANAGE on the model, as the user of MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD.
    """
    from components.access.door import Actor
    from components.release import history
    from components.release import ledger as ledgers
    from flows.cli.run import log
    from flows.console import actions
    from flows.platform.user_name import user_name
    from flows.releases import authority

    project = Project.find()
    entries = ledgers.of(project, name).entries()
    waiting = [left for role in ("champion", "challenger") if (left := history.unfinished(entries, role)) is not None]
    waiting = [left for left in waiting if left.entries[-1].event == "waiting"]
    if not waiting:
        raise NotFoundError(f"no release of {name} waits for approval", next_step=f"`modelyard history {name}`")
    user = authority.user_of_command(project)
    flow_run = str(waiting[0].entries[0].facts["flow_run"]).rpartition("/")[2]
    actor = Actor(user or user_name(), None, "command line")
    click.echo(actions.approve(project, actor, name, flow_run, not refuses, comment, log))
    return 0
