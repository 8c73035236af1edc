"""Opens a server of the project in a browser, by a link that sets its cookie."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from urllib.parse import urlencode

from components.access import cookie, project_door
from components.access.door import OPEN_PATH
from components.core import atomic, html_page
from components.core.errors import StackError
from components.core.project import Project
from flows.platform import state

_TEMPLATE = Path(__file__).with_name("browser.html.j2")

# MLflow's first page asks a newcomer for the kind of work; the list of experiments does not.
FIRST_PAGE = {"prefect": "/", "mlflow": "/#/experiments?workflowType=machine_learning", "console": "/models"}


def link(project: Project, name: str, url: str) -> str:
    """A link that sets a server's cookie in a browser; valid once, for ten minutes.

    Raises:
        StackError: the project has no secret yet.
    """
    secret = project_door.secret_of(project)
    if secret is None:
        raise StackError("the stack was never started here", next_step="`modelyard up`")
    page = FIRST_PAGE.get(name, "/")
    query = {cookie.PARAMETER: cookie.new_code(secret), **({"to": page} if page != "/" else {})}
    return f"{url}{OPEN_PATH}?{urlencode(query)}"


def show(project: Project, name: str, url: str) -> bool:
    """Open a link in the user's browser; returns whether there is a browser.

    The browser opens a file that only this user can read, because other users can read command lines.
    """
    graphical = sys.platform == "darwin" or any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not graphical:
        return False
    page = state.folder(project) / f"open-{name}.html"
    atomic.write_text(page, html_page.render(_TEMPLATE, name=name, url=link(project, name, url)))
    Path(page).chmod(0o600)
    return webbrowser.open(page.as_uri())
