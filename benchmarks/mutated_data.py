"""Data as people have it: datasets of known truth with one or two mutations, drafted and read again.

Each is of one of these ends: right (samples, labels, boxes, splits and values are the truth), said (what is left out or
assumed is named), refused (an error with its next step), fails later (the drafted expectations are not met), silent
(it differs from the truth, and nothing says so), traceback (an exception of a library). The last two are failures; each
is printed with its number, by which `--only` makes the same dataset again.

    python -m benchmarks.mutated_data [--datasets 300] [--seed 0] [--only N] [--keep FOLDER] [--show KIND]
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell
from benchmarks.mutations.boxes import BoxTable, Coco, Voc, Yolo
from benchmarks.mutations.dataset import Dataset
from benchmarks.mutations.folders import ClassFolders, ListedPictures
from benchmarks.mutations.judge import FAILURES, Outcome, judge
from benchmarks.mutations.lines import Pairs, Tagged
from benchmarks.mutations.series import Series
from benchmarks.mutations.sets import Masks, TaggedTexts
from benchmarks.mutations.sheets import SoleTexts, Texts, Values
from benchmarks.mutations.sounds import Sounds
from benchmarks.mutations.spans import Spans
from benchmarks.mutations.tabular import Features, Prices

NAME = "mutated_data"
KINDS: tuple[type[Dataset], ...] = (
    ClassFolders, ListedPictures, Coco, Voc, Yolo, Texts, SoleTexts, Pairs, Tagged, Values, Series, Sounds,
    Features, Prices, TaggedTexts, Masks, BoxTable, Spans,
)  # fmt: skip
WHOLE_EVERY = 10  # each tenth dataset goes through all stages of the data


def make(seed: int, number: int) -> tuple[Dataset, list[str]]:
    """A dataset and the names of its mutations; the kinds take turns, and so do the first mutations of a kind."""
    rng = random.Random(f"{seed}:{number}")
    kind = KINDS[number % len(KINDS)]
    names = sorted(kind.mutations)
    random.Random(f"{seed}:{kind.__name__}").shuffle(names)
    chosen = [names[number // len(KINDS) % len(names)]]
    if rng.random() < 0.4:
        is_early = chosen[0].startswith(kind.early)  # two that write all samples anew exclude each other
        others = [name for name in names if name != chosen[0] and not (is_early and name.startswith(kind.early))]
        chosen.append(rng.choice(others))
    state = rng.getstate()
    for mutations in (chosen, chosen[:1]):  # two that exclude each other: only the first
        rng.setstate(state)
        with contextlib.suppress(UnicodeError, LookupError, AssertionError, StopIteration):
            data = kind(rng)
            for name in sorted(mutations, key=lambda name: not name.startswith(kind.early)):
                kind.mutations[name](data)
            data.files(), data.truth()
            return data, mutations
    raise AssertionError(f"{kind.__name__}: {chosen}")


def measure(
    datasets: int, seed: int, only: int | None = None, keep: Path | None = None, show: str = ""
) -> list[Figure]:
    """Make the datasets and count their ends."""
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        base = keep or Path(temporary)
        for number in range(datasets) if only is None else (only,):
            data, mutations = make(seed, number)
            folder = base / f"{seed}-{number}"
            with contextlib.redirect_stderr(io.StringIO()):
                outcome = judge(data, folder, whole=number % WHOLE_EVERY == 0 or only is not None)
            ends[outcome.kind] += 1
            if outcome.kind in (*FAILURES, *show.split(",")) or only is not None:
                _tell(number, seed, type(data).__name__, mutations, outcome)
            if keep is None:
                _remove(folder)
    others = [Figure(NAME, f"datasets that are {kind}", ends[kind]) for kind in ("right", "said", "refused")]
    return [
        *others,
        Figure(NAME, "datasets that fail later, by their own expectations", ends["fails later"]),
        Figure(NAME, "datasets that differ from the truth, and nothing says so", ends["silent"], at_most=0),
        Figure(NAME, "datasets that end with an exception of a library", ends["traceback"], at_most=0),
    ]


def _tell(number: int, seed: int, kind: str, mutations: list[str], outcome: Outcome) -> None:
    tell(f"--seed {seed} --only {number}: {kind}, {' + '.join(mutations)}: {outcome.kind}: {outcome.detail}")


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--datasets", type=int, default=300, help="how many (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options.add_argument("--only", type=int, help="make this one alone, and say how it ends")
    options.add_argument("--keep", type=Path, help="folder in which the datasets are kept")
    options.add_argument("--show", default="", help="print these ends too, such as said,refused")
    sys.exit(figure.command(measure, options))
