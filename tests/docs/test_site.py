"""The documentation site: links lead somewhere, every page is in the navigation, nothing comes from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import reference_pages
from flows.cli.shell import COMMANDS
from tests.docs.snippets import ROOT

pytestmark = pytest.mark.slow

# What a browser loads by itself; a link (`<a href>`) to another site is none of it.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//|"
    r"<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|icon|preconnect|dns-prefetch|modulepreload))[^>]*\bhref=[\"']?"
    r"(?:https?:)?//|url\([\"']?(?:https?:)?//|@import",
    re.IGNORECASE,
)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)


def test_it_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for path in [*pages, *(tmp_path / "site").rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert LOADED.search(text) is None, path
        # The theme's script would fetch Mermaid for such an element.
        assert 'class="mermaid"' not in text, path
    commands = (tmp_path / "site" / "reference" / "command-line.html").read_text(encoding="utf-8")
    assert all(f"modelyard {name}" in commands for name in COMMANDS)


@pytest.mark.parametrize(
    "text",
    ['<script src="https://unpkg.com/x"></script>', '<link rel="stylesheet" href="//fonts.example/x.css">',
     "url(https://fonts.example/x.woff)"],
)  # fmt: skip
def test_what_a_page_would_load_is_seen(text: str) -> None:
    assert LOADED.search(text)
    assert LOADED.search('<a href="https://example.com/">x</a>') is None


def test_reference_pages_say_what_the_contracts_say() -> None:
    pages = reference_pages.pages()
    assert "| `max_batch_size` | integer ≥ 1 ≤ 4096 | `64` | most samples in one request. |" in pages["pipeline.md"]
    assert "| `POST` | `/predict` |" in pages["http.md"]
    assert "GateRefused" in pages["errors.md"]
    assert "`rollback_targets`" in pages["settings.md"]
