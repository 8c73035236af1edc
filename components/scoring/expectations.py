"""The expectations of the dataset, judged over the inputs of an output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import NotFoundError
from components.tasks.dataset_file import open_dataset
from components.tasks.input_rows import PREPARED, RAW

if TYPE_CHECKING:
    import pandas as pd

    from components.validation.stored_table import StoredTable

_PREFIXES = {"raw": RAW, "prepared": PREPARED}
SUITE_FILE = "expectations.json"


def judge(dataset: Path, files: Sequence[Path], samples: int, digest: str) -> dict[str, Any] | None:
    """Judge both parts of the suite of a dataset, as far as they need neither truths nor other samples.

    Args:
        files: of the inputs' rows, in order; with `samples` rows.
        digest: of the input.

    Returns:
        `suite`: digests by part; `met`, `judged`, `not_judged`: numbers; `failed`: a sentence each; `results`: by part.
        None: the dataset has no expectations here, or no input was answered.
    """
    if not (dataset / SUITE_FILE).is_file() or not samples:
        return None
    from components.validation import prepared_table, raw_table
    from components.validation.suite import Suite

    spec, task, _ = open_dataset(dataset)
    known = {"raw": raw_table.columns(task, spec.row_columns()), "prepared": prepared_table.columns(task)}
    found: dict[str, Any] = {"suite": {}, "met": 0, "judged": 0, "not_judged": 0, "failed": [], "results": {}}
    schema = _schema(files)
    for part, columns in known.items():
        try:
            suite = Suite.read(dataset / SUITE_FILE, part, columns)  # type: ignore[arg-type]  # one of both
        except NotFoundError:
            continue
        names = {name.removeprefix(_PREFIXES[part]) for name in schema.names if name.startswith(_PREFIXES[part])}
        chosen = [one for one in suite.expectations if (own := one.judged_columns()) and set(own) <= names]
        found["suite"][part] = suite.digest
        found["not_judged"] += len(suite.expectations) - len(chosen)
        if not chosen:
            continue
        verdict = Suite(suite.part, chosen).judge(_table(dataset, files, schema, part, names, samples), digest)
        found["judged"] += verdict.statistics["evaluated"]
        found["met"] += verdict.statistics["met"]
        found["failed"] += [f"{part}: {result.sentence()}" for result in verdict.results if not result.success]
        found["results"][part] = [
            {**result._asdict(), "failing": [list(one) for one in result.failing]} for result in verdict.results
        ]
    return found


def _schema(files: Sequence[Path]) -> pa.Schema:
    """One schema for all files: a part may have no sample, or no value of a column."""
    return pa.unify_schemas([pq.read_schema(path).remove_metadata() for path in files], promote_options="permissive")


def _table(
    dataset: Path, files: Sequence[Path], schema: pa.Schema, part: str, names: set[str], samples: int
) -> pd.DataFrame | StoredTable:
    from components.validation.stored_table import LARGE, StoredTable

    columns = ["id", *sorted(f"{_PREFIXES[part]}{name}" for name in names)]
    shown = ["id", *(name.removeprefix(_PREFIXES[part]) for name in columns[1:])]

    def tables() -> Iterator[pa.Table]:
        for path in files:
            table = pq.read_table(path)
            own = [
                table[name].cast(schema.field(name).type)
                if name in table.column_names
                else pa.nulls(table.num_rows, schema.field(name).type)
                for name in columns
            ]
            yield pa.table(own, names=shown)

    if samples > LARGE:
        return StoredTable(files[0].parent.parent.parent, tables(), empty_as_none=True)
    return pa.concat_tables(list(tables())).to_pandas()
