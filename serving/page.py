"""The page at `/`: the version that serves, and a form to try it. Loads nothing from elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from components.tasks.task import EndpointSchema

# They travel into bundles with this module, and count in the identity of its code (components/identity).
DATA_FILES = ("page.html.j2", "page.css", "page.js")

MAX_NUMBERS = 10_000  # in an example


def nothing(name: str) -> str:
    """The page of a service that has no champion."""
    return _template().render(name=name)


def render(about: Mapping[str, str], wire: EndpointSchema) -> str:
    """The page's HTML.

    Args:
        about: name, version and package of the champion.
    """
    parameters = wire.parameters.model_json_schema()["properties"] if wire.parameters else {}
    return _template().render(
        about,
        summary=wire.summary,
        form=wire.form,
        example=json.dumps(example_of(wire.schema), ensure_ascii=False),
        endpoint={"form": wire.form, "item": wire.item, "parameters": parameters},
        style=_text("page.css"),
        script=_text("page.js"),
    )


@functools.cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True).from_string(_text("page.html.j2"))


@functools.cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


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
        names = schema.get("required", schema.get("properties", {}))
        return {name: example_of(schema.get("properties", {}).get(name, {})) for name in names}
    if kind == "array":
        return [example_of(schema.get("items", {}))] * min(MAX_NUMBERS, max(1, schema.get("minItems", 1)))
    smallest = schema.get("minimum", 0)
    return {"integer": smallest, "number": float(smallest), "boolean": False, "string": ""}.get(str(kind))
