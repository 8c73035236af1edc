"""`modelyard tune --dashboard`: optuna-dashboard on the studies, behind the project's door like every other server."""

from __future__ import annotations

from typing import Any

from components.access import project_door
from components.core.log import Log
from components.core.project import Project
from flows.platform import browser, ports

NAME = "optuna"
FIRST_PORT = 8080


def serve(project: Project, storage: str, log: Log) -> None:
    """Serve until Ctrl-C.

    Args:
        storage: URL of the database of the studies.
        log: called with the link to open.
    """
    import uvicorn
    from a2wsgi import WSGIMiddleware
    from optuna.storages import RDBStorage
    from optuna_dashboard import wsgi

    port = ports.choose(FIRST_PORT, set())
    application: Any = WSGIMiddleware(wsgi(RDBStorage(storage)))
    door = project_door.before(application, project, opened_by="modelyard tune PIPELINE --dashboard")
    url = f"http://127.0.0.1:{port}"
    if not browser.show(project, NAME, url):
        log(f"the link is good once, for ten minutes: {browser.link(project, NAME, url)}")
    log(f"optuna-dashboard serves at {url} until Ctrl-C")
    uvicorn.run(door, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
