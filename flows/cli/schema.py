"""`modelyard schema`"""

from __future__ import annotations

import json

import click


@click.command(epilog="Example:  modelyard schema > .modelyard/pipeline.schema.json")
@click.option("--dataset", is_flag=True, help="Of dataset.yaml instead of a pipeline file.")
@click.option("--task", help="With --dataset: also what `input:` of a dataset of this task holds.")
def schema(dataset: bool, task: str | None) -> None:
    """Print the JSON Schema of pipeline files, so that editors complete and check them.

    With the YAML language server, the first line of a pipeline file names the schema:
    # yaml-language-server: $schema=../.modelyard/pipeline.schema.json
    """
    from components import tasks
    from components.contracts.dataset import DatasetSpec
    from components.contracts.pipeline import PipelineSpec

    document = (DatasetSpec if dataset else PipelineSpec).model_json_schema()
    if dataset and task:
        document["properties"]["input"] = tasks.find(task).settings.model_json_schema(ref_template="#/$defs/{model}")
        document["$defs"] |= document["properties"]["input"].pop("$defs", {})
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(dialect | document, indent=2))
