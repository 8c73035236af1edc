"""Which answers of old hours have no truth: what is lost for good when they are removed."""

from __future__ import annotations

from pathlib import Path

from components.contracts.prediction_log import OPEN, SEALED, begin_of, hours


def unlabelled(log: Path, before: float) -> dict[str, int]:
    """Of each sealed hour that began before a time, the number of answers that nobody has told the truth of."""
    old = [
        path
        for path in sorted((log / SEALED).glob("*T*"))
        if begin_of(path.name.partition(".")[0]) < before and not path.name.startswith(".")
    ]
    if not old:
        return {}
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from components.monitoring import log_reader, sealing

    truths = [
        pq.read_table(one.folder / sealing.FEEDBACK, columns=["id"])["id"].combine_chunks()
        for one in sealing.sealed_hours(log)
    ]
    truths += [log_reader.read(log / OPEN / hour).feedback["id"].combine_chunks() for hour in hours(log / OPEN)]
    known = pa.concat_arrays([pa.array([], pa.string()), *truths])
    found = {}
    for folder in old:
        ids = pq.read_table(folder / sealing.PREDICTIONS, columns=["id"])["id"]
        found[folder.name] = ids.length() - int(pc.sum(pc.is_in(ids, value_set=known)).as_py() or 0)
    return found
