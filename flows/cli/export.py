"""`modelyard export`"""

from __future__ import annotations

import re
from pathlib import Path

import click

from components.core.project import Project

FORMATS = ("huggingface", "onnx", "safetensors")


@click.command(epilog="Example:  modelyard export bert@champion --format huggingface --out ./bert")
@click.argument("model")
@click.option("--format", "kind", type=click.Choice(FORMATS), required=True, help="What is written.")
@click.option(
    "--out", "target", required=True, metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="A new or empty folder.",
)  # fmt: skip
def export(model: str, kind: str, target: Path) -> int:
    """Write MODEL in a form that other tools read. MODEL is PIPELINE (its last evaluated model here), PIPELINE@ALIAS,
    PIPELINE@VERSION, or the folder of a package.

    huggingface: config.json, model.safetensors and the tokenizer or image processor, as transformers' from_pretrained
    reads them; adapters of LoRA are merged. For networks that are classes of transformers.
    onnx: the graphs that are served, with their signature.
    safetensors: the weights under the names of our network, with model.json, which describes it.
    """
    from components import tasks
    from components.core.errors import NotFoundError
    from components.identity.package import HUB_PROCESSOR, Package
    from components.packaging import model_export
    from flows.cli import inspected_model

    if (Path(model) / "manifest.json").is_file():
        package = Package.open(Path(model))
    elif re.fullmatch(r"[a-z][a-z0-9-]*([:@][A-Za-z0-9_-]+)?", model):
        numbered = re.sub(r"@(\d+)$", r":\1", model)  # an alias cannot be a number
        package = inspected_model.find(Project.find(), "", numbered)
    else:
        raise NotFoundError("no such model", got=model, expected="PIPELINE, PIPELINE@ALIAS, PIPELINE@VERSION, a folder")
    files = model_export.export(package, kind, target)  # type: ignore[arg-type]  # one of FORMATS
    if kind == "huggingface" and HUB_PROCESSOR not in files and "image" in tasks.find(package.facts.task).fields:
        click.echo(
            f"  no {HUB_PROCESSOR}: transformers fits no image as this model's `input:` does (processor.json)", err=True
        )
    click.echo(f"{package.facts.pipeline} ({package.digest[:12]}) as {kind} in {target}: {', '.join(files)}")
    return 0
