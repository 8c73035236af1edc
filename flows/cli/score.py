"""`modelyard score`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.core.errors import UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.score_request import ScoreOutcome
    from components.contracts.score_spec import ScoreOptions


@click.command(
    epilog="Example:  modelyard score digits photos --out scores/monday; "
    "modelyard score adult@challenger people.csv --out scores/people --format csv"
)
@click.argument("model", metavar="MODEL[@ALIAS|:VERSION]")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="A new folder for the output."
)
@click.option("--format", "kind", type=click.Choice(["parquet", "csv", "jsonl"]), help="Of the predictions [parquet].")
@click.option(
    "--keep", metavar="COLUMNS",
    help="Columns of the input in the output: others (that the model does not read), all, none, or A,B,C [others].",
)  # fmt: skip
@click.option("--column", metavar="NAME", help="The column that is the text, picture, sound or series.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Of a dataset [all samples].")
@click.option("--max-errors", metavar="N|SHARE", help="How many samples may have no answer, such as 100 or 5% [1%].")
@click.option("--parameters", metavar="JSON", help="Parameters of the endpoint, such as '{\"max_tokens\": 20}'.")
@click.option(
    "--expectations", type=click.Choice(["report", "refuse", "off"]),
    help="Judge the input by the dataset's expectations, and say or refuse what is not met [report].",
)  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(1, 256),
    help="Of this machine, which score [as `run: {score: ...}` says, else one a processor].",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an output that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(model: str, inputs: tuple[str, ...], out: Path, **options: Any) -> int:
    """Score INPUT with the bundle of MODEL, in parallel processes, and seal the output.

    \b
    MODEL   what is in production; MODEL@ALIAS or MODEL:VERSION another registered version
    INPUT   files or folders of pictures, sounds, texts or series (CSV), each of which is a sample;
            or Parquet, CSV, TSV or JSON lines, of which each row is one; or a dataset of the project

    DIR/predictions has the answers and DIR/inputs what expectations see of each input, in parts that pandas, Polars and
    DuckDB read as one table; DIR/errors.csv names each sample without an answer, with file and line. A run that was
    stopped or killed goes on where it was: run the same command again. The output is the same, byte for byte.
    """
    from flows.cli.run import log
    from flows.scoring import scoring

    as_json, force, processes = options.pop("as_json"), options.pop("force"), options.pop("processes")
    project = Project.find()
    outcome = scoring.run(
        project, model, list(inputs), out, _options(options), processes=processes, force=force, log=log
    )
    _show(outcome, as_json=as_json)
    return 0


def _options(given: dict[str, Any]) -> ScoreOptions:
    from pydantic import ValidationError

    from components.contracts.score_spec import ScoreOptions

    found = {{"kind": "format"}.get(name, name): value for name, value in given.items() if value is not None}
    if "keep" in found and found["keep"] not in ("others", "all", "none"):
        found["keep"] = [name.strip() for name in found["keep"].split(",") if name.strip()]
    if "parameters" in found:
        try:
            found["parameters"] = json.loads(found["parameters"])
        except ValueError as error:
            raise UsageError("--parameters is no JSON", got=found["parameters"], expected='{"NAME": VALUE}') from error
    try:
        return ScoreOptions.model_validate(found)
    except ValidationError as error:
        wrong = [f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']}" for one in error.errors()]
        raise UsageError("; ".join(wrong), got=", ".join(str(one["input"]) for one in error.errors())) from error


def _show(outcome: ScoreOutcome, *, as_json: bool) -> None:
    summary = json.loads((Path(outcome.out) / "summary.json").read_text())
    if as_json:
        click.echo(json.dumps({**outcome.model_dump(), "summary": summary}, indent=2, ensure_ascii=False))
        return
    if outcome.state == "complete":
        click.echo("nothing to do: the output of this model and this input is there, and is whole")
    took = f", {outcome.scored:,} of them now, in {outcome.seconds:,.0f} s" if outcome.state == "scored" else ""
    click.echo(
        f"{summary['model']} version {summary['version']}: {summary['answered']:,} of {summary['samples']:,} samples "
        f"answered{took}"
    )
    labels = sorted(summary["labels"].items(), key=lambda one: -one[1])
    if labels:
        more = f", and {len(labels) - 8} more" if len(labels) > 8 else ""
        click.echo("  " + ", ".join(f"{label} {count:,}" for label, count in labels[:8]) + more)
    if summary["errors"]:
        click.echo(f"  {summary['errors']:,} without an answer: {Path(outcome.out) / 'errors.csv'}", err=True)
    verdict = summary["expectations"]
    if verdict is not None:
        click.echo(
            f"expectations  {verdict['met']} of {verdict['judged']} are met by this input; "
            f"{verdict['not_judged']} need truths or other samples, and are not judged"
        )
        for sentence in verdict["failed"][:5]:
            click.secho(f"  not met: {sentence}", fg="yellow", err=True)
    click.echo(f"output  {outcome.out}  ({outcome.digest[:12]})")
