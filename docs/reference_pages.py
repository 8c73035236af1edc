"""The reference pages, generated from what the code says: commands, JSON Schema, the OpenAPI of a model, the errors."""

from __future__ import annotations

import json
import re
from typing import Any

import click


def pages() -> dict[str, str]:
    """Markdown by file name."""
    from components.contracts.dataset import DatasetSpec
    from components.contracts.pipeline import PipelineSpec
    from components.contracts.settings import Settings

    return {
        "command-line.md": command_line(),
        "pipeline.md": schema(
            "Pipeline files", "`pipelines/NAME.yaml`; `modelyard schema` prints this as JSON Schema.",
            PipelineSpec.model_json_schema(),
        ),
        "dataset.md": schema(
            "dataset.yaml",
            "`data/NAME/dataset.yaml`; `modelyard schema --dataset` prints this as JSON Schema, with "
            "`--task TASK` also the keys of `input:`.",
            DatasetSpec.model_json_schema(),
        ),
        "settings.md": schema(
            "modelyard.toml", "Settings of a project that concern no single pipeline.", Settings.model_json_schema()
        ),
        "http.md": http(),
        "errors.md": errors(),
    }  # fmt: skip


def command_line() -> str:
    """`--help` of every command."""
    from flows.cli.shell import COMMANDS, modelyard

    parts = [
        "# Command line\n",
        "Every command has `--help` with an example, and `--json` where a machine might read. Exit codes: "
        "[errors](errors.md).\n",
        _fenced(_help(modelyard, None)),
    ]
    for name in COMMANDS:
        command = modelyard.get_command(click.Context(modelyard), name)
        assert command is not None  # noqa: S101  # the name is from the list of commands
        parts.append(f"## modelyard {name}\n\n{_fenced(_help(command, name))}")
        if isinstance(command, click.Group):
            parts += [
                f"### modelyard {name} {inner}\n\n{_fenced(_help(one, f'{name} {inner}'))}"
                for inner, one in command.commands.items()
            ]
    return "\n".join(parts)


def _help(command: click.Command, name: str | None) -> str:
    parent = click.Context(click.Command("modelyard"), info_name="modelyard", terminal_width=100)
    context = parent if name is None else click.Context(command, info_name=name, parent=parent, terminal_width=100)
    return command.get_help(context if name else click.Context(command, info_name="modelyard", terminal_width=100))


def schema(title: str, about: str, document: dict[str, Any]) -> str:
    """Tables of keys: the document's own, then one a definition, linked."""
    definitions: dict[str, Any] = document.get("$defs", {})
    parts = [f"# {title}\n", f"{about}\n", _table(document)]
    parts += [f"## {name}\n\n{_summary(definition)}{_table(definition)}" for name, definition in definitions.items()]
    return "\n".join(parts)


def http() -> str:
    """The OpenAPI of a model: an image classifier's."""
    import tempfile
    from pathlib import Path

    from components.inference.predictor import Predictor
    from serving.openapi import document
    from serving.settings import ServingSettings
    from tests import small_package

    with tempfile.TemporaryDirectory() as folder:
        package = small_package.build(Path(folder) / "package")
        endpoint = Predictor(package).endpoint
    settings = ServingSettings(
        model="sample", version="1", max_batch_size=64, max_request_bytes=16_000_000, max_image_pixels=25_000_000,
        workers=1,
    )  # fmt: skip
    found = document(settings, endpoint)
    rows = [
        f"| `{method.upper()}` | `{path}` | {_cell(operation.get('summary', ''))} | "
        f"{', '.join(operation.get('responses', {}))} |"
        for path, operations in found["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict)
    ]
    table = "\n".join(["| method | path | what | answers |", "|---|---|---|---|", *rows])
    whole = json.dumps(found, indent=2, ensure_ascii=False)
    return (
        "# HTTP of a service\n\nEach service describes itself at `/openapi.json`; what goes in and comes out is the "
        f"task's own. This is the document of an image classifier.\n\n{table}\n\n{_fenced(whole, 'json')}"
    )


def errors() -> str:
    """The error tree, as its module prints it."""
    from components.core import errors as tree
    from flows.cli.error_pages import PAGES

    assert tree.__doc__ is not None  # noqa: S101  # it has one
    head, _, rest = tree.__doc__.partition("\n\n")
    figure, _, after = rest.partition("\n\n")
    rows = "\n".join(f"| `{name}` | [{page.removesuffix('.md')}](../{page}) |" for name, page in PAGES.items())
    return (
        f"# Errors and exit codes\n\n{head}\n\n{_fenced(figure)}\n{after.strip()}\n\n130: stopped by Ctrl-C. "
        "With `--json` an error is one JSON document with these keys: `error`, `what`, `where`, `got`, `expected`, "
        f"`next_step`.\n\n| error | page |\n|---|---|\n{rows}\n"
    )


def _summary(definition: dict[str, Any]) -> str:
    text = str(definition.get("description", "")).partition("\nArgs:")[0].strip()
    return f"{_prose(text)}\n\n" if text else ""


def _table(definition: dict[str, Any]) -> str:
    properties = definition.get("properties", {})
    if not properties:
        return ""
    described = _arguments(str(definition.get("description", "")))
    required = set(definition.get("required", ()))
    rows = ["| key | type | default | what |", "|---|---|---|---|"]
    for key, value in properties.items():
        default = "required" if key in required else _default(value)
        what = described.get(key) or str(value.get("description", ""))
        rows.append(f"| `{key}` | {_type(value)} | {_cell(default)} | {_cell(what)} |")
    return "\n".join(rows) + "\n"


def _default(value: dict[str, Any]) -> str:
    if "default" not in value:
        return ""
    if isinstance(value["default"], dict) and value["default"]:
        return "each key's own"
    return f"`{json.dumps(value['default'])}`"


def _arguments(docstring: str) -> dict[str, str]:
    """What the section `Args:` of a docstring says of each key; several keys may share a sentence."""
    section = docstring.partition("Args:\n")[2]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    [\w, ]+:)", "\n" + section):
        names, colon, text = entry.strip().partition(":")
        if colon and re.fullmatch(r"[\w, ]+", names):
            found |= dict.fromkeys((name.strip() for name in names.split(",")), " ".join(text.split()))
    return found


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = str(value["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_type(one) for one in value[key]))
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    kind = value.get("type", "anything")
    if kind == "array" and isinstance(value.get("items"), dict):
        return f"list of {_type(value['items'])}"
    limits = [
        f"{sign} {value[key]:g}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if isinstance(value.get(key), int | float)
    ]
    return " ".join([str(kind), *limits])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip()}\n```\n"
