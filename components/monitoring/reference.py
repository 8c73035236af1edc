"""The reference that windows are compared with: inputs and answers of a model on data that it did not learn from.

Rows of the validation split as the log would have them: the row of the input, then the output of the package's own
predictor, and the truth. A folder, sealed, kept by the digests of package and data:

    rows.parquet     columns of inputs (`raw.`, `prepared.`, `embedding.`) and outputs (`output.`), `truth` where there
                     are labels
    embedding.npy    (n, D) float32, if the package gives embeddings, of each row
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.core import atomic
from components.core.errors import NotFiniteError, UsageError
from components.core.progress import Progress
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest as manifests
from components.identity.package import Package
from components.inference import body, embedding_summary
from components.inference.predictor import Arrays, Predictor
from components.ingestion import sample_file
from components.monitoring import output_columns
from components.tasks import input_rows
from components.tasks.task import Prediction
from components.validation import raw_rows

SPLIT = "validation"
MOST_ROWS = 5_000  # spread evenly over the split
ROWS, EMBEDDING, TRUTH = "rows.parquet", "embedding.npy", "truth"
FORMAT = 2  # of the columns; rows of an earlier one are made again
_BATCH = 256

Alter = Callable[[list[Any], list[Arrays]], tuple[list[Any], list[Arrays | None]]]


class Reference(NamedTuple):
    """The reference of a package.

    Args:
        rows: columns of inputs and outputs, and `truth`.
        embedding: (n, D); None where the package gives none.
        digest: of the sealed folder.
    """

    rows: pd.DataFrame
    embedding: NDArray[np.float32] | None
    digest: str


def of_package(package: Package, dataset: Path, folder: Path, name: str) -> Reference:
    """The reference of a package; it is made unless there is one.

    Args:
        dataset: folder of the dataset, with `prepared/` and, for columns of raw samples, `raw/`.
        folder: of all references.
        name: what the model is called in messages.

    Raises:
        UsageError: the data is not the version that the model was trained on.
        NotFoundError, CorruptArtifactError: the data or a sealed reference is missing or damaged.
    """
    target = folder / f"{package.digest[:16]}-{package.facts.data_digest[:16]}-{FORMAT}"
    if not (target / manifests.FILE_NAME).is_file():
        check_data(package, dataset, name)
        with atomic.folder(target) as fresh:
            _make(package, dataset, fresh, name)
            facts = {"package_digest": package.digest, "data_digest": package.facts.data_digest, "split": SPLIT}
            manifests.seal(fresh, "reference", facts)
    manifest = manifests.verify(target, "reference")
    path = target / EMBEDDING
    embedding = np.load(path, allow_pickle=False) if path.is_file() else None
    return Reference(pq.read_table(target / ROWS).to_pandas(), embedding, manifest.digest)


def check_data(package: Package, dataset: Path, name: str) -> None:
    """Check that a dataset is the version that a package was trained on.

    Raises:
        UsageError: it is another one.
    """
    present = manifests.load(dataset / "prepared", "prepared").digest
    if present != package.facts.data_digest:
        raise UsageError(
            f"{name} was trained on another version of the data, so there is nothing to compare its answers with",
            where=str(dataset / "prepared"),
            got=f"data {present[:12]}",
            expected=f"data {package.facts.data_digest[:12]}",
            next_step="check out that version of the data, or promote a model of the present one",
        )


def _make(package: Package, dataset: Path, fresh: Path, name: str) -> None:
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    table, vectors = rows_of_split(predictor, dataset, SPLIT, MOST_ROWS, f"the reference of {name}")
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), fresh / ROWS, compression="zstd")
    if vectors is not None:
        np.save(fresh / EMBEDDING, vectors, allow_pickle=False)


def rows_of_split(
    predictor: Predictor, dataset: Path, split: str, most: int, label: str, alter: Alter | None = None
) -> tuple[pd.DataFrame, NDArray[np.float32] | None]:
    """Rows of samples of a split, spread evenly over it, and their embeddings.

    Args:
        label: of the progress.
        alter: changes items and arrays before they are answered; None: they are as they are. A sample of which it
            leaves no arrays has an empty row.
    """
    prepared = dataset / "prepared"
    frozen = FrozenSplit.open(prepared, manifests.load(prepared, "prepared").facts, split)
    count = min(len(frozen), most)
    chosen = np.unique(np.linspace(0, len(frozen) - 1, count).round().astype(np.int64))
    listed = _listed(prepared, split, chosen)
    items = _items(predictor, dataset, listed)
    names = _request_arrays(predictor)
    parts: list[pd.DataFrame] = []
    vectors: list[NDArray[np.float32]] = []
    answered: list[NDArray[np.int64]] = []  # places of the samples that have vectors
    with Progress(label, len(chosen)) as progress:
        for start in range(0, len(chosen), _BATCH):
            index = chosen[start : start + _BATCH]
            samples: list[Arrays] = [_request(frozen.split.sample(row), names) for row in index.tolist()]
            own_items = items[start : start + len(index)] if items else [None] * len(index)
            places = np.arange(len(index))
            if alter is not None:
                own_items, altered = alter(own_items, samples)
                places = np.flatnonzero([one is not None for one in altered])
                own_items = [own_items[place] for place in places]
                samples = [one for one in altered if one is not None]
            embedded = predictor.embed(samples) if predictor.embeds and samples else None
            with_raw = items is not None
            rows = _rows(predictor, own_items, samples, embedded, with_raw=with_raw) if samples else pd.DataFrame()
            rows.index = pd.Index(places)
            parts.append(rows.reindex(range(len(index))))
            answered.append(start + places)
            if embedded is not None:
                vectors.append(embedded)
            progress.advance(len(index))
    table = pd.concat(parts, ignore_index=True)
    if "label" in frozen.task.fields and listed is not None:
        table[TRUTH] = listed["label"].to_numpy()
    if not vectors:
        return table, None
    whole = np.full((len(table), vectors[0].shape[1]), np.nan, np.float32)
    whole[np.concatenate(answered)] = np.concatenate(vectors)
    return table, whole


def _listed(prepared: Path, split: str, chosen: NDArray[np.int64]) -> pd.DataFrame | None:
    """Ids and labels of the chosen rows; None where samples have no rows of their own, as windows of a series."""
    table = pq.read_table(prepared / "samples.parquet", columns=["split", "row", "id", "label"]).to_pandas()
    table = table[table["split"] == split].set_index("row")
    if not set(chosen.tolist()) <= set(table.index):
        return None
    return table.loc[chosen].reset_index()


def _items(predictor: Predictor, dataset: Path, listed: pd.DataFrame | None) -> list[Any] | None:
    """The items of the raw samples, as requests have them; None where the task's rows have no columns of those."""
    task, source = predictor.task, dataset / "raw" / sample_file.FILE_NAME
    if listed is None or not input_rows.has_raw_columns(task) or not source.is_file():
        return None
    field: str = getattr(task, "item_field", "")
    by_id = {
        sample.id: sample.values[field]
        for _, sample in sample_file.pick(source, raw_rows.numbers_of(source, set(listed["id"])))
    }
    return [by_id[identity] for identity in listed["id"]]


def _request_arrays(predictor: Predictor) -> tuple[str, ...]:
    """Names of the arrays that an item of a request becomes, by the first golden example."""
    example = predictor.package.golden()[0]
    content = (predictor.package.folder / "golden" / example.file).read_bytes()
    parsed = body.read(predictor.processor, predictor.endpoint, content, example.media)
    (arrays,) = predictor.read(parsed.items)
    return tuple(arrays)


def _request(sample: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Arrays:
    return {name: np.asarray(sample[name]) for name in names if name in sample}


def _rows(
    predictor: Predictor,
    items: Sequence[Any],
    samples: Sequence[Arrays],
    embeddings: NDArray[np.float32] | None,
    *,
    with_raw: bool,
) -> pd.DataFrame:
    """Rows of some samples with the outputs; a sample whose answer is not finite has none."""
    parts = (input_rows.PREPARED, input_rows.RAW) if with_raw else (input_rows.PREPARED,)
    rows = input_rows.rows(predictor.task, predictor.processor, items, samples, parts)
    if embeddings is not None:
        rows |= embedding_summary.columns(input_rows.EMBEDDING, embeddings)
    return pd.DataFrame({**rows, **output_columns.columns(_answers(predictor, samples))})


def _answers(predictor: Predictor, samples: Sequence[Arrays]) -> list[Prediction]:
    try:
        return predictor.answer(samples)
    except NotFiniteError:
        if len(samples) == 1:
            return [{}]
        half = len(samples) // 2
        return _answers(predictor, samples[:half]) + _answers(predictor, samples[half:])
