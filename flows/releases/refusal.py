"""Telling the registry what became of a version: where the person clicked, that is where they read why."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from components.contracts.gate_request import GateResult
from components.core.errors import ModelyardError, ServingError
from components.core.log import Log
from components.registry import tracking, versions
from components.registry.api import AliasMovedError, Api, MissingError
from components.release.ledger import Event, Ledger, Role
from components.release.production import Pin, Production
from flows.releases import outlasting
from flows.releases.rollout import Refused, Rollout

STATE = "modelyard.release"
REASON = "modelyard.release_reason"
REPORT = "modelyard.release_report"
TAG_LENGTH = 1000
SET_BACK = "Modelyard: the alias names what serves"


@dataclass(frozen=True)
class Report:
    """Where the registry shows the gates' report, and the picture of the comparison if there is one."""

    url: str
    picture: str | None


_SECTION = re.compile(r"\n*<!-- release -->.*?<!-- /release -->", re.DOTALL)


def refuse(rollout: Rollout, refused: Refused) -> Report | None:
    """Take the version out of production if it serves, set the alias back, tell why on the version, close the release.

    The decision, with what production is made of from now on, is recorded before anything is done: a process that is
    killed at any line after that finds it, does it and tells it.

    Returns:
        Where the report is to be read, if there is one.
    """
    results = [result.model_dump() for result in refused.results]
    if "refusing" not in rollout.done:
        serves = _serves(rollout)
        if serves:
            rollout.pin("refusing", _without, results=results, evidence=refused.evidence, returned=True)
        else:
            rollout.record("refusing", results=results, evidence=refused.evidence, returned=False)
    decided = rollout.entry("refusing")
    assert decided is not None  # noqa: S101
    facts = decided.facts
    outlasting.left_behind(rollout, "refusing")
    production = rollout.apply().production
    stuck: str | None = None
    if facts["returned"] and production.champion is not None and rollout.service.status() is not None:
        stuck = _wait_for_return(rollout, production.champion)
    found = [GateResult.model_validate(result) for result in facts["results"]]
    if facts["returned"]:
        version = production.champion.version if production.champion else "none"
        again = f"; version {version} serves again" if stuck is None else f"; version {version} is to, but {stuck}"
        found = [result.model_copy(update={"reason": result.reason + again}) for result in found]
    report = upload(rollout, facts["evidence"])
    _set_back(rollout)
    _annotate(rollout, found, report)
    end: Event = "returned" if facts["returned"] else "refused"
    left = outlasting.outlast(rollout, "refusing") if facts["returned"] else {}
    rollout.record(
        end,
        gates=[result.gate for result in found],
        reason=sentence(found),
        report=report.url if report else None,
        **({"stuck": stuck} if stuck is not None else {}),
        **left,
    )
    return report


def _wait_for_return(rollout: Rollout, back: Pin) -> str | None:
    """Wait until the workers serve what they are to go back to; why they do not, as where its bundle was damaged since.

    The release ends all the same: what is pinned is tried again at every look, and a newer promotion, which may mend
    it, must not wait for it.
    """
    try:
        rollout.service.wait(
            lambda worker: worker.champion is not None and worker.champion.package_digest == back.package_digest,
            f"go back to version {back.version}",
        )
    except ServingError as error:
        rollout.context.log(str(error))
        return error.what
    return None


def _serves(rollout: Rollout) -> bool:
    """Whether production is made of the version that is refused."""
    champion = rollout.pinned().production.champion
    target = rollout.target.package_digest if rollout.target else None
    return rollout.role == "champion" and champion is not None and champion.package_digest == target


def _without(now: Production) -> Production:
    """Production after its champion failed: what served before, with the challenger that there is."""
    challenger = now.challenger if now.previous is not None else None
    return Production(champion=now.previous, challenger=challenger, policy=now.policy if challenger else None)


def accept(rollout: Rollout) -> Report | None:
    """The version serves: its tags say so and where the gates' report is; an older refusal is removed from it.

    Returns:
        The report, if the gates were gone through for this release.
    """
    assert rollout.target is not None  # noqa: S101
    report = None
    gated = rollout.entry("gated")
    tags: dict[str, str] = {}
    if gated is not None and gated.facts.get("reused") is False:
        report = upload(rollout, str(rollout.context.project.gates(rollout.name, gated.facts["evidence"])))
        tags |= {REPORT: report.url} if report else {}
    tag_served(rollout.api, rollout.name, rollout.target.version, rollout.role, tags)
    if rollout.role == "champion":
        _end_challenge(rollout.api, rollout.name, rollout.target.version)
    return report


def _end_challenge(api: Api, name: str, version: str) -> None:
    """A champion challenges nobody: else it would be a challenger with live traffic again after a rollback."""
    if versions.aliases(api).get(name, {}).get("challenger") == version:
        with suppress(AliasMovedError):  # somebody names another one by now
            versions.delete_alias(api, name, "challenger", reason=f"version {version} is champion", expected=version)


def tag_served(api: Api, name: str, version: str, role: Role, tags: dict[str, str]) -> None:
    """Tag a version that serves, and remove an older refusal from it."""
    state = {"champion": "served", "challenger": "challenger"}[role]
    versions.tag_version(api, name, version, {STATE: state, **tags})
    versions.untag_version(api, name, version, [REASON])
    found = versions.by_number(api, name, version)
    if _SECTION.search(found.description):
        versions.describe(api, name, version, _SECTION.sub("", found.description))


def remove(rollout: Rollout, reason: str) -> None:
    """A challenger that broke its limits: its version says why."""
    current = rollout.current
    if current is not None and versions.has_package(rollout.api, rollout.name, current.version, current.package_digest):
        tags = {STATE: "removed", REASON: reason[:TAG_LENGTH]}
        versions.tag_version(rollout.api, rollout.name, current.version, tags)


def anchor(api: Api, name: str, ledger: Ledger) -> None:
    """The registry remembers the ledger's last entry, so that a ledger cut short is noticed."""
    last = ledger.head()
    assert last is not None  # noqa: S101  # the caller has just appended one
    versions.tag_model(api, name, "modelyard.ledger", f"{last.sequence}:{last.digest}")


def sentence(results: list[GateResult]) -> str:
    """Every refusal in one line."""
    return "; ".join(f"{result.gate}: {result.reason}" for result in results)


def markdown(rollout: Rollout, results: list[GateResult], report: Report | None) -> str:
    """The gates as a table."""
    version = rollout.target.version if rollout.target else "none"
    lines = [
        f"**Version {version} as {rollout.role}** (release `{rollout.id}`, asked by {rollout.asked_by})",
        "",
        "| gate | passed | why | limit | next |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        words = [result.gate, "yes" if result.passed else "**no**", result.reason, result.limit, result.next_step or ""]
        lines.append("| " + " | ".join(word.replace("|", "/").replace("\n", " ") for word in words) + " |")
    if report is not None:
        lines += ["", f"[The whole report]({report.url})"]
        lines += ["", f"![candidate against champion]({report.picture})"] if report.picture else []
    return "\n".join(lines)


def _set_back(rollout: Rollout) -> None:
    """The alias names what truly serves again; if somebody moved it meanwhile, it is theirs."""
    if rollout.target is None or not rollout.is_still_desired():
        return
    production = rollout.pinned().production
    pin = production.champion if rollout.role == "champion" else production.challenger
    set_to(rollout.api, rollout.name, rollout.role, pin, rollout.context.log, expected=rollout.target.version)


def set_to(api: Api, name: str, role: Role, pin: Pin | None, log: Log, *, expected: str | None) -> None:
    """Let an alias name the version that serves; where the registry has no such version, take the alias away.

    A version of the same number that is another package is another model, of another registry.

    Args:
        expected: the version that the alias names; if it names another one by now, somebody has set it, and it stays.
    """
    try:
        if pin is not None:
            if versions.has_package(api, name, pin.version, pin.package_digest):
                versions.set_alias(api, name, role, pin.version, SET_BACK, expected=expected)
                return
            log(f"the alias cannot be set back to version {pin.version}: the registry has no such version of the model")
        versions.delete_alias(api, name, role, SET_BACK, expected=expected)
    except AliasMovedError as error:
        log(f"the alias is left as it is: {error.what}")


def _annotate(rollout: Rollout, results: list[GateResult], report: Report | None) -> None:
    if rollout.target is None:
        return
    try:
        version = versions.by_number(rollout.api, rollout.name, rollout.target.version)
    except MissingError:
        return
    tags = {STATE: "refused", REASON: sentence(results)[:TAG_LENGTH], **({REPORT: report.url} if report else {})}
    versions.tag_version(rollout.api, rollout.name, version.version, tags)
    section = f"\n\n<!-- release -->\n\n{markdown(rollout, results, report)}\n\n<!-- /release -->"
    versions.describe(rollout.api, rollout.name, version.version, _SECTION.sub("", version.description) + section)


def upload(rollout: Rollout, evidence: str | None) -> Report | None:
    """The report as an artifact of the version's run, where the registry's UI shows it."""
    if evidence is None or rollout.target is None or not Path(evidence).is_dir():
        return None
    gates = rollout.context.project.state / "gates" / rollout.name
    if Path(evidence).resolve().parent != gates.resolve():  # read from the ledger: no other folder is uploaded
        rollout.context.log(f"no report is uploaded: {evidence} is no folder of {gates}")
        return None
    try:
        version = versions.by_number(rollout.api, rollout.name, rollout.target.version)
        run = tracking.by_id(rollout.api, version.run_id)
        place = f"release/{rollout.id}"
        rollout.api.upload_folder(f"{run.artifact_uri}/{place}", Path(evidence))
    except ModelyardError as error:  # a version without a run, or one whose run was deleted: the report stays here
        rollout.context.log(f"the report stays in {evidence}: {error.what}")
        return None
    picture = Path(evidence) / "comparison.png"
    query = urlencode({"path": f"{place}/{picture.name}", "run_uuid": run.id})
    return Report(
        f"{run.url(rollout.api.url)}/artifacts/{place}/report.html",
        f"{rollout.api.url}/get-artifact?{query}" if picture.exists() else None,
    )
