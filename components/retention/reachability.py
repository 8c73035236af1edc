"""What is needed, and what is not: a pure function of the things on disk and of the roots that reach them.

A root is an alias, the pinned production, a rollback target, an open release, a serving process, a pipeline's present
fingerprint. A version that is a root keeps its bundle and its package. A thing goes if no root reaches it, no process
holds it, and it is old enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from components.contracts.settings import RetentionSettings
from components.retention.item import NEEDS_REGISTRY, Item, Kind

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Needed:
    """A version that a root names.

    Args:
        package_digest: of its package.
        bundle: the tag of the very bundle, where that is known. Where no root knows it, or that bundle is not here,
            every bundle of the package is kept.
        why: the root, for people: `alias champion of digits`.
    """

    package_digest: str
    bundle: str | None
    why: str


@dataclass(frozen=True)
class Roots:
    """Everything that reaches things on disk.

    Args:
        versions: needed versions.
        names: things that are needed by themselves, by kind and name, and why.
        open_models: pipelines of which a run or a release is open, and why; nothing of these goes.
        all_open: why nothing of any pipeline goes; None: only the open ones are kept.
        judged: whether the registry answered, and every pipeline's fingerprint is known.
        not_judged: why not.
    """

    versions: tuple[Needed, ...] = ()
    names: Mapping[tuple[Kind, str], str] = field(default_factory=dict)
    open_models: Mapping[str, str] = field(default_factory=dict)
    all_open: str | None = None
    judged: bool = True
    not_judged: str | None = None


@dataclass(frozen=True)
class RetentionDecision:
    """What becomes of a thing.

    Args:
        removable: nothing needs it.
        why: what needs it, or why nothing does.
    """

    item: Item
    removable: bool
    why: str


_NOTHING: dict[Kind, str] = {
    "bundle": "no alias, pin, rollback target or open release names it; a release builds it again",
    "package": "no alias, pin, rollback target or pipeline's present fingerprint names it",
    "run": "no pipeline's present fingerprint names it",
    "evidence": "no open release and no version that production can go back to rests on it",
    "report": "it is of no dataset that is here, and old",
    "service": "no such service is running or pinned",
    "log": "its program is gone, or it was rotated, and it is old",
    "request": "its stage is over",
    "input": "no search is at work; one that tries these settings again prepares the data again",
    "data": "no commit and no present dataset names it",
    "mlflow-run": "it was deleted in MLflow, and no registered version rests on it",
    "predictions": "it is older than predictions_days under [retention]",
    "reference": "no version that is needed is compared with it; it is computed again",
    "window": "it is older than predictions_days under [retention]",
    "rehearsal": "it is old; it is computed again",
    "job": "no job on another machine is at work in it, and it is old",
}
_OF_A_MODEL: frozenset[Kind] = frozenset({"bundle", "package", "run", "evidence", "reference"})


def judge(items: Iterable[Item], roots: Roots, settings: RetentionSettings, now: float) -> list[RetentionDecision]:
    """A verdict for each thing, in the order given.

    Args:
        now: seconds since 1970.
    """
    found = list(items)
    reached = _reached(found, roots)
    return [_verdict(item, reached, roots, settings, now) for item in found]


def _reached(items: list[Item], roots: Roots) -> dict[tuple[Kind, str], str]:
    """What the roots reach, by kind and name, and through which of them."""
    reached = dict(roots.names)
    here = {item.name: item.package_digest for item in items if item.kind == "bundle"}
    exact: dict[str, set[str]] = {}
    for version in roots.versions:
        if version.bundle is not None and version.bundle in here:
            reached.setdefault(("bundle", version.bundle), version.why)
            if here[version.bundle] == version.package_digest:
                exact.setdefault(version.package_digest, set()).add(version.bundle)
    for version in roots.versions:
        for item in items:
            if item.package_digest != version.package_digest:
                continue
            if item.kind in ("package", "reference") or (item.kind == "bundle" and version.package_digest not in exact):
                reached.setdefault((item.kind, item.name), version.why)
    return reached


def _verdict(
    item: Item, reached: Mapping[tuple[Kind, str], str], roots: Roots, settings: RetentionSettings, now: float
) -> RetentionDecision:
    def kept(why: str) -> RetentionDecision:
        return RetentionDecision(item, False, why)

    if (why := reached.get((item.kind, item.name))) is not None:
        return kept(why)
    if item.held is not None:
        return kept(item.held)
    if item.kind in NEEDS_REGISTRY and not roots.judged:
        return kept(f"not judged: {roots.not_judged}")
    if item.kind in _OF_A_MODEL:
        if roots.all_open is not None:
            return kept(roots.all_open)
        if item.model is not None and item.model in roots.open_models:
            return kept(roots.open_models[item.model])
        if item.model is None and roots.open_models:
            return kept("a run is open, and of which pipeline this is, is not known")
    age = now - item.changed
    least = max(settings.min_age_minutes * 60, _days(item.kind, settings) * DAY_SECONDS)
    if age < least:
        return kept(f"written {_span(age)} ago; such things stay for {_span(least)}")
    why = _NOTHING[item.kind]
    return RetentionDecision(item, True, why if item.note is None else f"{why}; {item.note}")


def _days(kind: Kind, settings: RetentionSettings) -> float:
    if kind in ("report", "rehearsal"):
        return settings.reports_days
    if kind in ("predictions", "window"):
        return settings.predictions_days or 0.0
    if kind in ("log", "job"):
        return settings.logs_days
    return settings.requests_days if kind == "request" else 0.0


def _span(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{max(seconds, 0) / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * DAY_SECONDS else f"{seconds / DAY_SECONDS:.0f} days"
