"""What is likely to be wrong with the classes of a source, in words for the person who drafts a dataset."""

from __future__ import annotations

from typing import Any

from components.core.errors import SourceError
from components.drafting.profile import Profile
from components.ingestion.class_name import lookalikes

EVERYWHERE = 3  # a class of fewer samples cannot be in train, validation and test
_NAMED = 8


def check(profile: Profile, where: str) -> None:
    """Refuse classes from which nothing can be learnt.

    Raises:
        SourceError: no class has two samples.
    """
    if profile.labels and max(profile.labels.values()) == 1:
        raise SourceError(
            f"{len(profile.labels):,} classes of one sample: there is nothing to learn from",
            where=where,
            got=", ".join(sorted(profile.labels)[:_NAMED]),
            expected=f"classes of at least {EVERYWHERE} samples",
        )


def notes(profile: Profile, split: dict[str, Any]) -> list[str]:
    """One sentence for each kind of doubt.

    Args:
        split: `split:` of the drafted dataset.yaml.
    """
    found = []
    draws = {"test", "validation"} - profile.splits.keys() and split.get("by") != "time"
    rare = sorted((count, name) for name, count in profile.labels.items() if count < EVERYWHERE)
    if rare and draws:
        named = ", ".join(f"{name} ({count})" for count, name in rare[:_NAMED])
        more = f" and {len(rare) - _NAMED:,} more" if len(rare) > _NAMED else ""
        found.append(
            f"{len(rare):,} of {len(profile.labels):,} classes have fewer than {EVERYWHERE} samples: {named}{more}; "
            "they cannot be in train, validation and test, and `run` will refuse that. Add samples, leave the classes "
            "out, or accept it: remove the expectation on label_in_every_split from expectations.json"
        )
    for group in lookalikes(profile.labels):
        found.append(f"the classes {' and '.join(map(repr, group))} look alike: write one name if they are one class")
    return found
