"""Templates escape what they show, miss no variable, and take in files of their folder."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from components.core import html_page


def template(folder: Path, text: str) -> Path:
    path = folder / "page.html.j2"
    path.write_text(text)
    return path


def test_values_are_escaped(tmp_path: Path) -> None:
    page = html_page.render(template(tmp_path, '<p title="{{ text }}">{{ text }}</p>'), text="""<b> & "a" 'b'""")
    escaped = "&lt;b&gt; &amp; &#34;a&#34; &#39;b&#39;"
    assert page == f'<p title="{escaped}">{escaped}</p>'


@pytest.mark.parametrize("text", ["{{ missing }}", "{% if missing %}{% endif %}", "{{ known.missing }}"])
def test_an_undefined_variable_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        html_page.render(template(tmp_path, text), known={})


def test_a_style_file_is_included_as_it_is(tmp_path: Path) -> None:
    style = 'p > b { font-family: "Segoe UI"; }\n'
    (tmp_path / "page.css").write_text(style)
    text = '<style>\n{% include "page.css" %}\n</style>\n'
    assert html_page.render(template(tmp_path, text)) == f"<style>\n{style}</style>\n"


def test_a_picture_is_embedded(tmp_path: Path) -> None:
    png = bytes(range(256))
    page = html_page.render(template(tmp_path, '<img src="{{ picture | data_uri }}">'), picture=png)
    encoded = re.fullmatch(r'<img src="data:image/png;base64,(.*)">', page)
    assert encoded is not None
    assert base64.b64decode(encoded[1], validate=True) == png


def test_jinja2_is_loaded_only_when_a_page_is_rendered() -> None:
    code = "import sys; import components.core.html_page; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
