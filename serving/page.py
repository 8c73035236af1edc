"""The page at `/`: what is served, and a form to try it. Loads nothing from elsewhere."""

from __future__ import annotations

import html

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name} {version}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1d2733 }}
 h1 {{ font-weight: 600; margin-bottom: 0 }} small, code {{ color: #5b6b7b }} code {{ word-break: break-all }}
 form {{ margin: 2rem 0; padding: 1.5rem; border: 1px dashed #b6c2cf; border-radius: 8px }}
 .bar {{ background: #2f6fed; height: 1.1rem; border-radius: 3px }} td {{ padding: .15rem .6rem .15rem 0 }}
 td:nth-child(2) {{ width: 60% }} .refused {{ color: #b3261e }}
</style>
<h1>{name} <small>version {version}</small></h1>
<p><code>package {digest}</code></p>
<form><input type="file" accept="image/*"> <small>an image of {shape}; other sizes are resized</small></form>
<table></table>
<p><a href="openapi.json">OpenAPI</a> · <a href="model">model</a> · <a href="metrics">metrics</a> ·
 <a href="readyz">readyz</a></p>
<script>
 const table = document.querySelector("table");
 document.querySelector("input").onchange = async event => {{
  const response = await fetch("predict", {{method: "POST", body: event.target.files[0],
   headers: {{"content-type": "application/octet-stream"}}}});
  const answer = await response.json();
  table.replaceChildren();
  if (!response.ok) {{
   const row = table.insertRow().insertCell(); row.className = "refused"; row.textContent = answer.error.message;
   return;
  }}
  const odds = Object.entries(answer.predictions[0].probabilities).sort((a, b) => b[1] - a[1]);
  for (const [label, probability] of odds) {{
   const row = table.insertRow(); row.insertCell().textContent = label;
   const bar = document.createElement("div"); bar.className = "bar"; bar.style.width = 100 * probability + "%";
   row.insertCell().append(bar); row.insertCell().textContent = probability.toFixed(3);
  }}
 }};
</script>
"""


NOTHING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1><p>No version is released.</p>
"""


def nothing(name: str) -> str:
    """The page of a service that has no champion."""
    return NOTHING.format(name=html.escape(name))


def render(name: str, version: str, digest: str, shape: list[int]) -> str:
    """The page's HTML."""
    size = "x".join(str(length) for length in shape)
    return PAGE.format(name=html.escape(name), version=html.escape(version), digest=html.escape(digest), shape=size)
