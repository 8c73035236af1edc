"""`modelyard tune --dashboard`: optuna-dashboard on the studies, behind the project's door like every other server."""

from __future__ import annotations

from typing import Any

from components.access import project_door
from components.access.door import Application
from components.core.log import Log
from components.core.project import Project
from components.tuning.record import open_storage
from flows.platform import browser, connections, ports

NAME = "optuna"
FIRST_PORT = 8130


def serve(project: Project, storage: str, log: Log) -> None:
    """Serve until Ctrl-C.

    Args:
        storage: URL of the database of the studies.
        log: called with the link to open.
    """
    import uvicorn

    door = application(project, storage)
    port = ports.choose(FIRST_PORT, set())
    url = connections.own_url(NAME, port)
    if not browser.show(project, NAME, url):
        log(f"the link is good once, for ten minutes: {browser.link(project, NAME, url)}")
    log(f"optuna-dashboard serves at {url} until Ctrl-C")
    uvicorn.run(door, host=ports.LOOPBACK, port=port, log_level="warning", lifespan="off")


def application(project: Project, storage: str) -> Application:
    """The ASGI application: optuna-dashboard behind the project's door.

    Raises:
        StackError: the project has no secret; its stack was never started.
        SearchError: the database cannot be opened.
    """
    from a2wsgi import WSGIMiddleware
    from optuna_dashboard import wsgi

    dashboard: Any = WSGIMiddleware(wsgi(open_storage(storage)))
    return project_door.before(dashboard, project, opened_by="modelyard tune PIPELINE --dashboard")
