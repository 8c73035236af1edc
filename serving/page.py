"""The page at `/`: what is served, and a form to try it. Loads nothing from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from components.tasks.task import EndpointSchema
from serving.page_script import SCRIPT

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name} {version}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 3rem auto; padding: 0 1rem; color: #1d2733 }}
 h1 {{ font-weight: 600; margin-bottom: 0 }} small, code {{ color: #5b6b7b }} code {{ word-break: break-all }}
 form {{ margin: 2rem 0; padding: 1.5rem; border: 1px dashed #b6c2cf; border-radius: 8px }}
 textarea {{ width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }} label {{ margin-right: 1rem }}
 input[type=text] {{ width: 7rem; font: inherit }} button {{ font: inherit; padding: .3rem 1.2rem; margin-top: .8rem }}
 .bar {{ background: #2f6fed; height: 1.1rem; border-radius: 3px }} td {{ padding: .15rem .6rem .15rem 0 }}
 td:nth-child(2) {{ width: 60% }} .refused {{ color: #b3261e }} mark {{ padding: .1rem .2rem; border-radius: 3px }}
 mark small {{ margin-left: .3rem }} .picture {{ position: relative; display: inline-block }}
 .picture img {{ display: block; max-width: 100% }} .made {{ width: 14rem; image-rendering: pixelated }}
 .picture svg {{ position: absolute; inset: 0; width: 100%; height: 100% }} pre {{ overflow: auto; max-height: 24rem }}
 .chart {{ width: 100%; height: 16rem; background: #f6f8fa; border-radius: 6px }} blockquote {{ white-space: pre-wrap }}
</style>
<h1>{name} <small>version {version}</small></h1>
<p>{summary}<br><code>package {digest}</code></p>
<form>{field}<div id="parameters"></div><button>Ask</button></form>
<div id="answer"></div><svg hidden></svg>
<p><a href="openapi.json">OpenAPI</a> · <a href="model">model</a> · <a href="metrics">metrics</a> ·
 <a href="readyz">readyz</a></p>
<script type="application/json" id="wire">{wire}</script>
<script>{script}</script>
"""

NOTHING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1><p>No version is released.</p>
"""

FIELDS = {
    "image": '<input type="file" accept="image/*" required> <small>an image file</small>',
    "sound": '<input type="file" accept="audio/*" required> <small>a sound file</small>',
    "text": '<textarea rows="5" required placeholder="a text"></textarea>',
    "json": '<textarea rows="8" required>{example}</textarea>',
}
MOST_NUMBERS = 10_000  # in an example


def nothing(name: str) -> str:
    """The page of a service that has no champion."""
    return NOTHING.format(name=html.escape(name))


def render(about: Mapping[str, str], wire: EndpointSchema) -> str:
    """The page's HTML.

    Args:
        about: name, version and package of what is served.
    """
    example = json.dumps(example_of(wire.schema), ensure_ascii=False)
    parameters = wire.parameters.model_json_schema()["properties"] if wire.parameters else {}
    told = {"form": wire.form, "item": wire.item, "parameters": parameters}
    return PAGE.format(
        name=html.escape(about["name"]),
        version=html.escape(about["version"]),
        digest=html.escape(about["package"]),
        summary=html.escape(wire.summary),
        field=FIELDS[wire.form].replace("{example}", html.escape(example)),
        wire=json.dumps(told).replace("<", "\\u003c"),
        script=SCRIPT,
    )


def example_of(schema: Mapping[str, Any]) -> Any:
    """A value that fits a JSON schema: its own example or default, else the smallest of its type."""
    if schema.get("examples"):
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    for ways in ("anyOf", "oneOf"):
        if schema.get(ways):
            return example_of(schema[ways][0])
    kind = schema.get("type")
    if kind == "object":
        wanted = schema.get("required", schema.get("properties", {}))
        return {name: example_of(schema.get("properties", {}).get(name, {})) for name in wanted}
    if kind == "array":
        return [example_of(schema.get("items", {}))] * min(MOST_NUMBERS, max(1, schema.get("minItems", 1)))
    smallest = schema.get("minimum", 0)
    return {"integer": smallest, "number": float(smallest), "boolean": False, "string": ""}.get(str(kind))
