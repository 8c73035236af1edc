"""The datasets of the project's mirror that have a best figure here (benchmarks/results.md)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.public_sets.origin import Origin
from benchmarks.public_sets.public_set import PublicSet, Write

_HERE = "the best pipeline here"


def _files(*names: str) -> Write:
    """A single file as it is; several as links in one folder."""

    def write(origin: Origin, folder: Path) -> Path:
        if len(names) == 1:
            return origin.mirrored(names[0])
        for name in names:
            (folder / Path(name).name).symlink_to(origin.mirrored(name).resolve())
        return folder

    return write


SETS = (
    PublicSet("sst2", _files("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv"), "accuracy", 0.8885, _HERE),
    PublicSet("sms", _files("sms-spam/SMSSpamCollection"), "accuracy", 0.9883, _HERE),
    PublicSet("fsdd", _files("fsdd/fsdd.tar.gz"), "accuracy", 1.0, _HERE),
    PublicSet("flowers", _files("flowers/tf_flowers_128.tar.gz"), "accuracy", 0.7745, _HERE),
    PublicSet("etth1", _files("etth1/ETTh1.csv"), "mse", 0.3754, _HERE, lower_is_better=True),
    PublicSet("bccd", _files("bccd/bccd.tar.gz"), "map_50", 0.8525, _HERE),
    PublicSet("adult", _files("adult/adult-train.csv", "adult/adult-test.csv"), "accuracy", 0.855, _HERE,
              options=("--label", "column_14")),
)  # fmt: skip
