"""`modelyard client-snippet`"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

from components.core.errors import ServingError
from components.core.project import Project

KEY = "MODELYARD_API_KEY"  # the environment variable from which the code takes a key, if the service wants one
FILES = {"image": "image.png", "sound": "sound.wav"}


class SnippetRequest(NamedTuple):
    """What a snippet asks.

    Args:
        url: of the endpoint.
        document: of a JSON request; None: a file is sent.
        field: of the file in a form.
        file: its name.
    """

    url: str
    document: Mapping[str, Any] | None
    field: str = ""
    file: str = ""


@click.command(epilog="Example:  modelyard client-snippet digits --lang python > ask.py")
@click.argument("pipeline")
@click.option("--lang", "language", type=click.Choice(["curl", "python", "javascript"]), default="curl",
              show_default=True, help="Language of the code.")  # fmt: skip
@click.option("--url", help="Of the service (default: the pipeline's on this machine).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def client_snippet(pipeline: str, language: str, url: str | None, as_json: bool) -> int:
    """Code that asks the running service of PIPELINE, with an example of its own.

    The code needs nothing but the language: curl in a shell, Python's or Node's own library. It sends the key in
    MODELYARD_API_KEY, if that is set.
    """
    from flows.cli import prediction_client
    from flows.serving_targets.serving_target import target_of

    address = url or target_of(Project.find(), pipeline).url
    if address is None:
        raise ServingError(f"{pipeline} is not served", next_step=f"`modelyard serve {pipeline}`, or --url")
    request = request_of(prediction_client.openapi(address), address)
    code = LANGUAGES[language](request)
    click.echo(json.dumps({"lang": language, "code": code}, indent=2) if as_json else code, nl=as_json)
    if request.file:
        click.echo(f"note: the code sends the file {request.file} of the folder that it runs in", err=True)
    return 0


def request_of(document: Mapping[str, Any], url: str) -> SnippetRequest:
    """A request to a service, from its OpenAPI document: its first example, or a file where files are sent.

    Raises:
        ServingError: the document is no service's of ours.
    """
    endpoint = f"{url.rstrip('/')}/predict"
    try:
        content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
        way = content["application/json"]["schema"]["oneOf"][0]
        item = way["required"][0]
        if way["properties"][item].get("contentEncoding") == "base64":
            return SnippetRequest(endpoint, None, item, FILES.get(item, "file"))
        examples = list(content["application/json"].get("examples", {}).values())
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ServingError("the service does not describe its input", where=url, got=repr(error)) from error
    if not examples:
        raise ServingError(
            "the service has no example that is short enough", where=url,
            next_step=f"{url}/docs shows what {item} may be",
        )  # fmt: skip
    return SnippetRequest(endpoint, examples[0]["value"])


def curl(request: SnippetRequest) -> str:
    """A command of a POSIX shell."""
    key = f'${{{KEY}:+-H "Authorization: Bearer ${KEY}"}}'
    body = shlex.quote(f"{request.field}=@{request.file}") if request.document is None else ""
    sent = f"-F {body}" if body else f"--json {shlex.quote(_json(request.document))}"
    return f"curl --silent --show-error --fail-with-body {key} \\\n  {sent} \\\n  {shlex.quote(request.url)}\n"


def python(request: SnippetRequest) -> str:
    """A program of Python's standard library."""
    if request.document is None:
        media, body = "application/octet-stream", f"pathlib.Path({request.file!r}).read_bytes()"
    else:
        media, body = "application/json", f"json.dumps({request.document!r}).encode()"
    return f"""\
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

headers = {{"Content-Type": "{media}"}}
if key := os.environ.get("{KEY}"):
    headers["Authorization"] = f"Bearer {{key}}"
body = {body}
request = urllib.request.Request({request.url!r}, data=body, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
except urllib.error.HTTPError as error:
    sys.exit(f"{{error}}: {{error.read().decode(errors='replace')}}")
print(json.dumps(answer["predictions"], ensure_ascii=False))
"""


def javascript(request: SnippetRequest) -> str:
    """A module of Node 18 and later."""
    if request.document is None:
        media, body = "application/octet-stream", f"await readFile({json.dumps(request.file)})"
    else:
        media, body = "application/json", f"JSON.stringify({_json(request.document)})"
    read = 'import { readFile } from "node:fs/promises";\n\n' if request.document is None else ""
    return f"""\
{read}const headers = {{ "Content-Type": "{media}" }};
if (process.env.{KEY}) headers.Authorization = `Bearer ${{process.env.{KEY}}}`;
const body = {body};
const response = await fetch({json.dumps(request.url)}, {{ method: "POST", headers, body }});
if (!response.ok) throw new Error(await response.text());
console.log(JSON.stringify((await response.json()).predictions));
"""


LANGUAGES: dict[str, Callable[[SnippetRequest], str]] = {"curl": curl, "python": python, "javascript": javascript}


def _json(document: Mapping[str, Any] | None) -> str:
    return json.dumps(document, ensure_ascii=False)
