"""Hooks of mkdocs: pages from files elsewhere in the tree, generated reference pages, screenshots where they were made.

`python -m mkdocs build` in the project's folder, so that this module finds ours.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from docs import reference_pages

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "build" / "screenshots"
# Files outside docs/ that are pages of the site, by their path from the top.
ADOPTED = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/results.md": "figures.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SCREENSHOT = re.compile(r"<!-- screenshot: ([a-z-]+) \| ([^|>]+) -->")
LOG = logging.getLogger("mkdocs.hooks.modelyard")


def on_files(files: Files, config: Any) -> Files:
    """Add the adopted and the generated pages."""
    for source, page in ADOPTED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_links(text, Path(source).parent)))
    for name, content in reference_pages.pages().items():
        files.append(File.generated(config, f"reference/{name}", content=content))
    for picture in sorted(SCREENSHOTS.glob("*.png")):
        files.append(File.generated(config, f"screenshots/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links to files outside docs/ lead to their pages, and show the screenshots."""
    if page.file.src_uri not in ADOPTED.values():
        markdown = _links(markdown, Path("docs") / Path(page.file.src_uri).parent)
    return SCREENSHOT.sub(_screenshot, markdown)


def _links(text: str, folder: Path) -> str:
    """Replace links relative to a folder of the tree by links relative to the site's top, where these pages are."""

    def replace(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = (ROOT / folder / target).resolve()
        if re.match(r"[a-z]+:", target) or not path.is_relative_to(ROOT):
            return match[0]
        inside = path.relative_to(ROOT).as_posix()
        if inside in ADOPTED:
            return f"[{text}]({ADOPTED[inside]}{anchor})"
        if inside.startswith("docs/"):
            return match[0] if folder.parts[0:1] == ("docs",) else f"[{text}]({inside.removeprefix('docs/')}{anchor})"
        return text  # a file that is no page of the site, such as LICENSE

    return LINK.sub(replace, text)


def _screenshot(match: re.Match[str]) -> str:
    name, caption = match[1], match[2].strip()
    if (SCREENSHOTS / f"{name}.png").is_file():
        return f"![{caption}](screenshots/{name}.png)\n"
    LOG.info("no screenshot %s: `make screenshots` makes it from the running stack", name)
    return ""
