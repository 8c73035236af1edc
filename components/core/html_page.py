"""HTML pages from Jinja2 templates; all values are escaped, and an undefined variable is an error."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def render(template: Path, **values: object) -> str:
    """Render a template file. It can include its folder's files and `table_page.css`; filter `data_uri` embeds a PNG.

    Raises:
        jinja2.UndefinedError: the template uses a variable that has no value.
    """
    return _environment(template.parent).get_template(template.name).render(values)


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    import jinja2  # commands that render no page do not load it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
