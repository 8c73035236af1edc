"""`modelyard label`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard label digits truths.csv")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the number of truths as JSON.")
def label(model: str, file: Path, as_json: bool) -> int:
    """Tell what was right: the truths of answers that MODEL gave.

    FILE (.csv, .tsv, .jsonl or .parquet) has the columns id, of the answer's header X-Modelyard-Prediction, and truth;
    for a request of several samples also index. Clients may also send them to the service: POST /feedback. A truth that
    is no class of the answer's model is kept, named, and counted apart.
    """
    from components.contracts.prediction_log import OPEN
    from components.monitoring import label_file, told_truths
    from flows.cli import prediction_folder

    log = prediction_folder.find(Project.find(), model)
    told = label_file.read(file)
    doubtful = told_truths.examine(log, told)
    label_file.append(log / OPEN, told)
    notes = told_truths.notes(doubtful)
    if as_json:
        click.echo(json.dumps({"truths": len(told), "apart": len({one.row for one in doubtful}), "notes": notes}))
    else:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{len(told):,} truths; `modelyard predictions {model}` says what they make of the answers")
    return 0
