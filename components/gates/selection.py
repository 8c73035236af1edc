"""Gate selection: a model that a search chose was chosen on the validation split, and the test split is still unseen.

A figure on the test split is an honest estimate only of a model that was not chosen by it (Hastie, Tibshirani and
Friedman 2009, section 7.2). So the gate refuses a version if other trials of its study have been scored on the test
split, and if samples of validation, which chose, are samples of test.
"""

from __future__ import annotations

from pathlib import Path

from components.contracts.gate_request import GateResult
from components.contracts.selection import Chosen, SelectionSpec


def check(chosen: Chosen, spec: SelectionSpec, prepared: Path) -> GateResult:
    """Check how a candidate was chosen.

    Args:
        prepared: folder of the prepared data.
    """
    shared, samples = _shared(prepared)
    problems, steps = [], []
    if len(chosen.scored) > spec.max_scored:
        numbers = ", ".join(map(str, chosen.scored[:10]))
        problems.append(
            f"of study {chosen.study}, other trials have been scored on the test split too (number {numbers}; "
            f"{len(chosen.scored)} in all), so the choice may have been made by it"
        )
        steps.append(
            "take a test split that is new; or say that you know: "
            f"`gates: {{selection: {{max_scored: {len(chosen.scored)}}}}}`"
        )
    if shared:
        problems.append(f"{shared:,} of {samples:,} samples of validation, which chose, are samples of test")
        steps.append("split the dataset so that validation and test share nothing, then tune again")
    read = "this one alone" if not chosen.scored else f"{len(chosen.scored) + 1} of them, as gates.selection allows"
    reason = (
        f"chosen by study {chosen.study} among {chosen.trials:,} trials, by {chosen.metric} of the validation split; "
        f"the test split was read for {read}"
    )
    return GateResult(
        gate="selection",
        passed=not problems,
        figures={"trials": chosen.trials, "scored_on_test": len(chosen.scored), "shared_samples": shared},
        limit=f"at most {spec.max_scored} other trials scored on the test split; no sample in validation and test",
        reason="; ".join(problems) or reason,
        next_step="; ".join(steps) or None,
    )


def _shared(prepared: Path) -> tuple[int, int]:
    """Number of samples of validation whose content is in test, and of all samples of validation."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(prepared / "samples.parquet", columns=["split", "content"])
    validation, test = (
        table.filter(pc.equal(table["split"], split))["content"].combine_chunks() for split in ("validation", "test")
    )
    shared = pc.sum(pc.is_in(validation, value_set=test, skip_nulls=True)).as_py() or 0
    return int(shared), len(validation)
