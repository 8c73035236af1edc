"""Asking for a release as a command: the alias is set as a person would set it, and the ledger is followed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from components.contracts.pipeline import PipelineSpec
from components.core.errors import (
    GateRefused,
    ModelyardError,
    NotFoundError,
    ServingError,
    StackError,
    UsageError,
)
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import announced
from components.packaging.bundle import Bundle
from components.registry import versions
from components.registry.api import Api, MissingError
from components.registry.versions import Version
from components.release import history
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.decision import ObservedState
from components.release.ledger import CLOSING, Entry, Role
from components.release.ledger_store import LedgerAbsentError
from flows.pipelines import bundle_plan, signing, stages
from flows.platform import followed_registry, stack_status
from flows.platform.programs import log_file
from flows.releases import activity, observation, registry_change
from flows.releases.activity import Activity
from flows.releases.rollback_command import RollbackOutcome
from flows.serving_targets.cluster_api import ClusterAbsentError
from flows.serving_targets.serving_target import ServingTarget, target_of

START_SECONDS = 90.0
SAY_SECONDS = 10.0
MOST_FAILURES = 3


def promote(project: Project, api: Api, name: str, version: str, role: Role, how: str, say: Log) -> RollbackOutcome:
    """Set the alias and wait until production has followed.

    Raises:
        NotFoundError: there is no such version.
        UsageError: a challenger is asked for that is the champion, or another model with its number.
        NotFoundError: where there is no champion.
        GateRefused: a gate said no; the alias names again what serves.
        StackError: nobody takes it up, or production follows another registry.
        ServingError: the release failed `MOST_FAILURES` times.
    """
    followed_registry.require(project)
    with announced("the registry", say):
        if (why := registry_change.unknown(project, api)) is not None:
            raise StackError(
                "production does not follow this registry",
                got=why,
                next_step="name the registry of the other machines in modelyard.toml; or "
                f"`modelyard up {followed_registry.OPTION}` lets it",
            )
        found = find_version(api, name, version)
        champion = find_version(api, name, None) if role == "challenger" else None
    if champion is not None and champion.version == version:
        raise UsageError(
            f"version {version} is the champion of {name}: it cannot be its own challenger",
            next_step=f"`modelyard models {name}` lists the others",
        )
    entries = ledgers.of(project, name).entries()
    serves = productions.decided(entries).production.champion
    if serves is not None and serves.version == version and found.package_digest is not None:
        registry_change.require_same(name, serves, found.package_digest)
    since = len(entries)
    with announced("the registry", say):
        versions.set_alias(api, name, role, version, how)
    return follow(project, name, role, version, since, say)


def find_version(api: Api, name: str, number: str | None) -> Version:
    """A version by its number, or the champion.

    Raises:
        NotFoundError: there is no such version, or no champion yet.
    """
    if number is not None:
        try:
            if number.isdecimal():
                return versions.by_number(api, name, number)
        except MissingError:
            pass
        raise NotFoundError(f"{name} has no version {number}", next_step=f"`modelyard models {name}`")
    found = versions.by_alias(api, name, "champion")
    if found is None:
        raise NotFoundError(
            f"{name} has no champion",
            where=api.url,
            next_step=f"set the alias champion on a version in the MLflow UI, or `modelyard promote {name} VERSION`",
        )
    return found


def bundle_of(project: Project, spec: PipelineSpec, api: Api, version: Version, say: Log) -> Bundle:
    """The bundle of a version, whole; built if it is not there.

    Raises:
        ServingError: the version was not registered by Modelyard.
        CorruptArtifactError: the package or the bundle is not as sealed.
        UsageError: the project's signing key cannot be used.
    """
    planned = bundle_plan.of(project, spec, version)
    if not planned.bundle.exists():
        return stages.build_bundle(stages.RunContext(project, spec, api, say), planned, force=False)
    planned.bundle.verify()
    signing.ensure_signed(project, planned.bundle, say)
    return planned.bundle


def remove_alias(api: Api, name: str, role: Role, how: str) -> None:
    """Take the alias away, which is an order too."""
    versions.delete_alias(api, name, role, how)


def follow(project: Project, name: str, role: Role, version: str, since: int | None, say: Log) -> RollbackOutcome:
    """Say each step of the release as it comes, until it has ended; nothing to wait for if the version serves.

    Between two steps, what is waited for is said every `SAY_SECONDS`.

    Args:
        since: entries of the ledger that are older than the question; None: a release that is going on counts too.

    Raises:
        GateRefused: a gate said no.
        StackError: nobody takes it up, or nobody goes on with it, for `START_SECONDS`.
        ServingError: the release failed `MOST_FAILURES` times, or another version was asked for meanwhile.
    """
    ledger, service = ledgers.of(project, name), target_of(project, name)
    if since is None:
        entries = ledger.entries()
        left = history.unfinished(entries, role)
        since = left.entries[0].sequence - 1 if left else len(entries)
    begun, patience = time.time(), _Patience(say)
    failed: set[float] = set()
    shown = since
    while True:
        with patience.while_servers_are_away(f"{role} is to be version {version}"):
            entries = ledger.entries()
            if len(entries) > shown:
                patience.restart()
            for entry in entries[shown:]:
                if entry.role == role:
                    say(f"{entry.event:<11} {words(entry)}".rstrip())
            shown = len(entries)
            # Not those of a version that was asked for just before, and is not any more.
            ours = [one for one in entries[since:] if one.role == role and one.after and one.after.version == version]
            ends = [entry for entry in ours if entry.event in CLOSING]
            if ends:
                return _ended(ends[-1], entries, service, version)
            if not history.unfinished(entries, role):
                observed = ObservedState.of(service.status())
                serves = (observed.champion if role == "champion" else observed.challenger) == version
                if serves and not ours and len(ledger.entries()) == len(entries):  # else it has just come to serve
                    return RollbackOutcome(None, version, service.url)
            found = activity.read(project, name)
            if found is not None and found.wants(role, version) and (found.failed_at or 0) > begun:
                if found.failed_at not in failed:
                    say(f"failed      {found.failure}")
                failed.add(found.failed_at or 0)
                if len(failed) >= MOST_FAILURES or found.failures > MOST_FAILURES:
                    raise _failed(project, name, version, found)
            if patience.is_word_due():
                patience.say(f"{_waited_for(project, name, role, entries, found)}{_away(service)}")
            if observation.is_at_work(project, name):
                patience.go_on()
            if patience.is_over():
                nobody = "nobody goes on with the release" if ours else "nobody took up"
                raise StackError(
                    f"{nobody} that {role} is to be version {version}",
                    got=_controller_state(project),
                    next_step="`modelyard status`; `.modelyard/stack/logs/controller.log` says more",
                )
        time.sleep(0.1)


class _Patience:
    """How long a release may stand still, and when what it waits for is said again."""

    def __init__(self, say: Log) -> None:
        self._say = say
        self.restart()

    def restart(self) -> None:
        """The release has done a step."""
        self._moved = time.monotonic()
        self._next_word = self._moved + SAY_SECONDS
        self.go_on()

    def go_on(self) -> None:
        """Somebody is at work."""
        self._deadline = time.monotonic() + START_SECONDS

    def is_over(self) -> bool:
        """Whether nothing has happened for `START_SECONDS`."""
        return time.monotonic() > self._deadline

    def is_word_due(self) -> bool:
        """Whether it is time to say what is waited for."""
        return time.monotonic() > self._next_word

    def say(self, waited_for: str) -> None:
        """Say what is waited for."""
        self._say(f"waiting     {time.monotonic() - self._moved:.0f} s {waited_for}")
        self._next_word += SAY_SECONDS

    @contextlib.contextmanager
    def while_servers_are_away(self, asked: str) -> Iterator[None]:
        """Wait for the ledger's server, or the cluster: the registry has what was asked for, and the controller
        follows without this process.

        Raises:
            StackError: it stays away.
        """
        try:
            yield
        except (LedgerAbsentError, ClusterAbsentError) as error:
            server, place = ("cluster", "cluster") if isinstance(error, ClusterAbsentError) else ("ledger", "database")
            if self.is_over():
                raise StackError(
                    error.what,
                    where=error.where,
                    got=error.got,
                    next_step=f"the registry says that {asked}: the controller follows once the {place} is back, "
                    "and `modelyard history` tells how it ended",
                ) from error
            if self.is_word_due():
                self.say(f"for the {server}: {error.what}")


def _away(service: ServingTarget) -> str:
    """The hosts that are away, for which a release waits; nothing where there are none."""
    with contextlib.suppress(ModelyardError):
        status = service.status()
        absent = status.absent if status is not None else []
        return f" (away: {', '.join(absent)}; `modelyard hosts` says why)" if absent else ""
    return ""


def _waited_for(project: Project, name: str, role: Role, entries: list[Entry], found: Activity | None) -> str:
    """What a release waits for, in a few words."""
    if found is not None and found.doing == "retrying" and found.next_try is not None:
        return f"for the next try, in {max(0.0, found.next_try - time.time()):.0f} s; the last one: {found.failure}"
    left = history.unfinished(entries, role)
    if left is not None and observation.is_at_work(project, name):
        return f"for the step after `{left.entries[-1].event}` of release {left.id}"
    if found is not None and found.reason:
        return f"since {found.reason}"
    return f"for the controller to take it up: {_controller_state(project)}"


def _failed(project: Project, name: str, version: str, found: Activity) -> ServingError:
    return ServingError(
        f"the release of version {version} failed {found.failures} times",
        where=str(log_file(project, "controller")),
        got=found.failure,
        expected="a release that ends",
        next_step=f"mend that: the controller tries again by itself; `modelyard history {name}` tells how it ends",
    )


def left_out(entries: Sequence[Entry]) -> str:
    """The hosts that did not follow a release; empty if all did."""
    facts: dict[str, Any] = next((entry.facts for entry in reversed(entries) if entry.facts.get("absent")), {})
    over = set(facts.get("lease_over", ()))
    names = [f"{name} (its lease is over)" if name in over else name for name in facts.get("absent", ())]
    return f"without {', '.join(names)}" if names else ""


def words(entry: Entry) -> str:
    """The figures of an entry in a few words."""
    facts = entry.facts
    parts = []
    if entry.event == "asked":
        known_by = f" (known by {facts['known_by']})" if facts.get("known_by") else ""
        parts = [f"by {entry.asked_by}{known_by}: {facts.get('how', '')}"]
    elif entry.event == "gated":
        figures = facts.get("figures", {})
        parts = [f"{gate}: {found.get('reason', '')}" for gate, found in figures.items()]
        parts = [*parts, *(["reused"] if facts.get("reused") is True else [])] or [str(facts.get("reused", ""))]
    elif entry.event in ("refused", "returned", "superseded", "removed"):
        parts = [str(facts.get("reason", ""))]
    else:
        for key in (
            "bundle",
            "worst_difference",
            "workers",
            "hosts",
            "absent",
            "lease_over",
            "without_lease",
            "requests",
            "errors",
            "by",
            "canary_percent",
            "seconds",
            "registry",
        ):
            if key in facts:
                value = facts[key]
                figure = f"{value:.3g}" if isinstance(value, float) else value
                figure = ", ".join(map(str, value)) if isinstance(value, list) else figure
                parts.append(f"{key.replace('_', ' ')} {figure}")
    return "; ".join(part for part in parts if part)


def caution(project: Project, name: str, outcome: RollbackOutcome) -> str | None:
    """What a person should know of a version that was released all the same: that no baseline is worse."""
    if outcome.entry is None:
        return None
    for entry in ledgers.of(project, name).entries():
        found = entry.facts.get("figures", {}).get("baseline", {}) if entry.event == "gated" else {}
        if entry.release == outcome.entry.release and found.get("is_better") == "no":
            return f"version {outcome.version}: {found['reason']}"
    return None


def _next_steps(entry: Entry, entries: list[Entry]) -> list[str]:
    """What the gates that refused say is to be done, each once."""
    results = [
        result
        for one in entries
        if one.release == entry.release and one.event == "refusing"
        for result in one.facts.get("results", [])
        if not result.get("passed")
    ]
    return list(dict.fromkeys(str(result["next_step"]) for result in results if result.get("next_step")))


def _ended(entry: Entry, entries: list[Entry], service: ServingTarget, version: str) -> RollbackOutcome:
    if entry.event in ("refused", "returned"):
        serves = entry.before.version if entry.before else "nothing"
        stays = f"{entry.role} is {serves} as before; the reasons stand on the version in the registry"
        raise GateRefused(
            f"version {version} was {entry.event}",
            where=str(entry.facts.get("report") or f"release {entry.release}"),
            got=str(entry.facts.get("reason", "")),
            expected="all gates pass",
            next_step="; ".join([*_next_steps(entry, entries), stays]),
        )
    if entry.event == "superseded":
        raise ServingError(f"version {version} was overtaken", got=str(entry.facts.get("reason", "")))
    return RollbackOutcome(entry, version, service.url)


def _controller_state(project: Project) -> str:
    try:
        found = {row.name: row for row in stack_status.status(project)}
    except ModelyardError as error:
        return error.what
    return f"the controller is {found['controller'].state}" if "controller" in found else "there is no controller"
