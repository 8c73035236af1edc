"""What is likely to be wrong with the classes of a source, in words for the person who drafts a dataset."""

from __future__ import annotations

from typing import Any

from components.core.errors import SourceError
from components.drafting.expectations import CONFLICTS, EVERYWHERE
from components.drafting.profile import Profile
from components.ingestion.class_name import lookalikes

_NAMED = 8
_ACCEPT = "`run` will refuse them: correct the data, or accept them: change the expectation in expectations.json"
# What columns of the sample table tell, where they are true or above 0.
_DEFECTS = {
    "degenerate": "have boxes without area, which preparation leaves out",
    "outside": f"have boxes that reach beyond their image; {_ACCEPT}",
    "constant": f"are images of one single level; {_ACCEPT}",
    "silent": f"are silent; {_ACCEPT}",
    "empty": f"are empty texts; {_ACCEPT}",
}


def check(profile: Profile, where: str) -> None:
    """Refuse classes from which nothing can be learnt.

    Raises:
        SourceError: no class has two samples; or, where splits are drawn, enough for all three.
    """
    most = max(profile.labels.values(), default=EVERYWHERE)
    if most == 1 or (most < EVERYWHERE and not profile.splits.keys() - {""}):
        number = "one sample" if most == 1 else f"at most {most} samples"
        raise SourceError(
            f"{len(profile.labels):,} classes of {number}: there is nothing to learn from",
            where=where,
            got=", ".join(sorted(profile.labels)[:_NAMED]),
            expected=f"classes of at least {EVERYWHERE} samples",
        )


def notes(profile: Profile, split: dict[str, Any], *, equal_samples_differ: bool = False) -> list[str]:
    """One sentence for each kind of doubt.

    Args:
        split: `split:` of the drafted dataset.yaml.
        equal_samples_differ: as of the task.
    """
    found = []
    draws = {"test", "validation"} - profile.splits.keys() and split.get("by") != "time"
    classes = profile.labels or profile.classes
    rare = sorted((count, name) for name, count in classes.items() if count < EVERYWHERE)
    if rare and draws and profile.classes:
        named = ", ".join(f"{name} ({count})" for count, name in rare[:_NAMED])
        found.append(
            f"{len(rare):,} of {len(classes):,} labels are of fewer than {EVERYWHERE} samples and cannot be in train, "
            f"validation and test: {named}{'' if len(rare) <= _NAMED else ' and more'}"
        )
    elif rare and draws:
        named = ", ".join(f"{name} ({count})" for count, name in rare[:_NAMED])
        more = f" and {len(rare) - _NAMED:,} more" if len(rare) > _NAMED else ""
        found.append(
            f"{len(rare):,} of {len(profile.labels):,} classes have fewer than {EVERYWHERE} samples: {named}{more}; "
            "they cannot be in train, validation and test, and `run` will refuse that. Add samples, leave the classes "
            "out, or accept it: remove the expectation on label_in_every_split from expectations.json"
        )
    found += _copies(profile, equal_samples_differ=equal_samples_differ)
    for column, remark in _DEFECTS.items():
        values = profile.columns.get(column)
        if values is None:
            continue
        readable = profile.columns.get("readable") or [True] * len(values)
        if count := sum(_is_defect(value) for value, is_read in zip(values, readable, strict=True) if is_read):
            found.append(f"{count:,} of {profile.samples:,} samples {remark}")
    for group in lookalikes(classes):
        found.append(f"the classes {' and '.join(map(repr, group))} look alike: write one name if they are one class")
    return found


def _copies(profile: Profile, *, equal_samples_differ: bool) -> list[str]:
    """What equal samples do: stand in two splits, have several labels."""
    found = []
    if share := profile.share(profile.content_splits):
        found.append(
            f"{round(share * profile.samples):,} of {profile.samples:,} samples stand in two splits of the source; "
            "preparation leaves them out where they would be learnt or tested twice"
        )
    if share := profile.share(profile.content_labels):
        refused = (
            "; `run` will refuse that: correct the labels" if share > CONFLICTS and not equal_samples_differ else ""
        )
        found.append(
            f"{round(share * profile.samples):,} of {profile.samples:,} samples equal one of another label{refused}"
        )
    return found


def _is_defect(value: object) -> bool:
    return bool(value) if isinstance(value, bool | int | float) else False
