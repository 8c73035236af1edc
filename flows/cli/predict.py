"""`modelyard predict`"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from components.core.errors import NotFoundError, SampleError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.table_layout import Columns
    from flows.cli.prediction_client import EncodedRequest, InputSchema


class _Answer(NamedTuple):
    """The answer to one request, or why it was refused."""

    name: str
    content: dict[str, Any]
    refused: SampleError | None = None


@click.command(epilog="Example:  modelyard predict digits seven.png; modelyard predict adult people.csv")
@click.argument("pipeline")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter, such as temperature=0.7.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Where a picture that the model makes is written; default: PIPELINE.png.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the service's answers.")
def predict(pipeline: str, inputs: tuple[str, ...], settings: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Send INPUT to the running service of PIPELINE, and print the predictions.

    \b
    INPUT is, by what the pipeline predicts from,
      pictures, sounds  a file
      texts             the text itself, or a file of it
      rows of a table   JSON by the names of the columns, '{"age": 31, "job": "clerk"}', or a file
                        of it; or a CSV, TSV, JSON lines or Parquet file, written as the dataset's,
                        of which each row is answered
      series            JSON or CSV, a row for each step; or a file of it

    Without INPUT, it says what the running service wants, with the names of all columns.
    """
    from flows.cli import prediction_client
    from flows.serving_targets.serving_target import not_served, target_of

    project = Project.find()
    if not project.pipeline_file(pipeline).is_file():
        raise NotFoundError(f"no pipeline {pipeline}", where=str(project.pipelines))
    target = target_of(project, pipeline)
    url = target.ready_url()
    if url is None:
        raise not_served(target)
    parameters = dict(_parameter(setting) for setting in settings)
    schema = prediction_client.input_schema(url)
    if not inputs:
        raise UsageError("no INPUT to predict from", expected=schema.description())
    answers = _answers(project, pipeline, url, schema, inputs, parameters)
    if as_json:
        click.echo(json.dumps([answer.content for answer in answers], indent=2, ensure_ascii=False))
    else:
        _show(answers, out or Path(f"{pipeline}.png"))
    _say_unknown(answers)
    return int(any(answer.refused for answer in answers))


def _answers(
    project: Project, pipeline: str, url: str, schema: InputSchema, inputs: tuple[str, ...], parameters: dict[str, Any]
) -> list[_Answer]:
    """The answers to all inputs; all of them are read before the first is sent.

    Raises:
        SampleError: the service rejected an input that is no row of a table file; of these, each has its own answer.
    """
    from flows.cli import prediction_client, table_input

    read: list[EncodedRequest | table_input.TableRows] = []
    for text in inputs:
        kind = table_input.kind_of(text) if schema.is_row and Path(text).is_file() else None
        if kind is None:
            read.append(prediction_client.request_for(schema, text, parameters))
            continue
        rows = table_input.read(Path(text), kind, schema.sample, _table_of(project, pipeline))
        for note in rows.notes:
            click.echo(f"note: {note}", err=True)
        read.append(rows)
    answers: list[_Answer] = []
    for one in read:
        if isinstance(one, table_input.TableRows):
            answers += _answers_to_rows(url, schema, one, parameters)
            continue
        try:
            answers.append(_Answer(one.name, prediction_client.predict(url, one)))
        except SampleError as error:
            if schema.form != "json":
                raise
            next_step = f"INPUT is {schema.description()}"
            raise SampleError(
                error.what, where=error.where, got=error.got, expected=error.expected, next_step=next_step
            ) from error
    return answers


def _answers_to_rows(url: str, schema: InputSchema, table: Any, parameters: dict[str, Any]) -> list[_Answer]:
    """An answer for each row; a request with a row that is refused is sent again row by row."""
    from flows.cli import prediction_client

    beside = {"parameters": parameters} if parameters else {}
    answers: list[_Answer] = []
    for start in range(0, len(table.rows), schema.max_samples):
        rows = table.rows[start : start + schema.max_samples]
        names = [f"{table.name} row {start + number}" for number in range(1, len(rows) + 1)]
        try:
            document = {schema.items: rows, **beside}
            request = prediction_client.json_request(document, f"{names[0]} to {start + len(rows)}")
            answer = prediction_client.predict(url, request)
            answers += [
                _Answer(name, {**answer, "predictions": [one]})
                for name, one in zip(names, answer["predictions"], strict=True)
            ]
        except SampleError:
            for name, row in zip(names, rows, strict=True):
                request = prediction_client.json_request({schema.item: row, **beside}, name)
                try:
                    answers.append(_Answer(name, prediction_client.predict(url, request)))
                except SampleError as error:
                    answers.append(_Answer(name, {"error": error.to_dict()}, error))
    return answers


def _table_of(project: Project, pipeline: str) -> Columns | None:
    """The table of the pipeline's dataset; None if there is no dataset.yaml, or its source is no table."""
    from components.contracts.dataset import DatasetSpec
    from components.contracts.pipeline import PipelineSpec
    from components.contracts.table_layout import Columns
    from components.core import located_yaml

    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    path = project.dataset(spec.dataset) / "dataset.yaml"
    if not path.is_file():
        return None
    source = located_yaml.read(path, DatasetSpec).source
    columns = getattr(source, "layout", source)
    return columns if isinstance(columns, Columns) else None


def _show(answers: list[_Answer], out: Path) -> None:
    from flows.cli import prediction_client

    pictures = 0
    total = sum("image" in one for answer in answers for one in answer.content.get("predictions", ()))
    for answer in answers:
        if answer.refused is not None:
            click.echo(f"{answer.name}: REFUSED: {answer.refused.what} (got {answer.refused.got})")
            continue
        predictions, version = answer.content["predictions"], answer.content["model"]["version"]
        for number, prediction in enumerate(predictions, 1):
            name = answer.name if len(predictions) == 1 else f"{answer.name} [{number}]"
            if "image" in prediction:
                pictures += 1
                path = out if total == 1 else out.with_stem(f"{out.stem}-{pictures}")
                path.write_bytes(base64.b64decode(prediction["image"]))
                click.echo(f"{name}: {path}  (version {version})")
            else:
                click.echo(f"{name}: {prediction_client.describe(prediction, f'version {version}')}")
    if refused := sum(answer.refused is not None for answer in answers):
        click.echo(f"{refused:,} of {len(answers):,} rows are refused", err=True)


def _say_unknown(answers: list[_Answer]) -> None:
    """Say in which columns train does not know the categories, where several rows were answered."""
    predictions = [one for answer in answers for one in answer.content.get("predictions", ())]
    counts = Counter(name for one in predictions for name in one.get("unknown_categories", ()))
    if counts and len(predictions) > 1:
        columns = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())
        click.echo(
            f"note: of {len(predictions):,} rows some have categories that train does not know: {columns}", err=True
        )


def _parameter(setting: str) -> tuple[str, Any]:
    name, separator, value = setting.partition("=")
    if not separator or not name:
        raise UsageError("a parameter is NAME=VALUE", got=setting)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
