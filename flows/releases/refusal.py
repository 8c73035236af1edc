"""Telling the registry what became of a version: where the person clicked, that is where they read why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from components.contracts.gate_request import GateResult
from components.core.errors import ModelyardError, RegistryError
from components.registry import tracking, versions
from components.registry.api import MissingError
from components.release.ledger import Event
from flows.releases.rollout import Refused, Rollout

STATE = "modelyard.release"
REASON = "modelyard.release_reason"
REPORT = "modelyard.release_report"
TAG_LENGTH = 1000


@dataclass(frozen=True)
class Report:
    """Where the registry shows the gates' report, and the picture of the comparison if there is one."""

    url: str
    picture: str | None


_SECTION = re.compile(r"\n*<!-- release -->.*?<!-- /release -->", re.DOTALL)


def refuse(change: Rollout, refused: Refused, *, returned: bool) -> Report | None:
    """Set the alias back, write tags, description and report on the version; then it stands in the ledger.

    Returns:
        Where the report is to be read, if there is one.
    """
    # Decided: a process that is killed now finds it here and goes on telling.
    results = [result.model_dump() for result in refused.results]
    change.record("refusing", results=results, evidence=refused.evidence, returned=returned)
    decided = change.entry("refusing")
    assert decided is not None  # noqa: S101
    facts = decided.facts
    found = [GateResult.model_validate(result) for result in facts["results"]]
    report = upload(change, facts["evidence"])
    _set_back(change)
    _annotate(change, found, report)
    end: Event = "returned" if facts["returned"] else "refused"
    change.record(
        end, gates=[result.gate for result in found], reason=sentence(found), report=report.url if report else None
    )
    return report


def accept(change: Rollout) -> Report | None:
    """The version serves: its tags say so and where the gates' report is; no older refusal stands on it any more.

    Returns:
        The report, if the gates were gone through for this release.
    """
    assert change.after is not None  # noqa: S101
    report = None
    tags = {STATE: {"champion": "served", "challenger": "challenger"}[change.role]}
    gated = change.entry("gated")
    if gated is not None and gated.facts.get("reused") is False:
        report = upload(change, str(change.work.project.gates(change.name, gated.facts["evidence"])))
        tags |= {REPORT: report.url} if report else {}
    versions.tag_version(change.api, change.name, change.after.version, tags)
    versions.untag_version(change.api, change.name, change.after.version, [REASON])
    version = versions.by_number(change.api, change.name, change.after.version)
    if _SECTION.search(version.description):
        versions.describe(change.api, change.name, version.version, _SECTION.sub("", version.description))
    return report


def remove(change: Rollout, reason: str) -> None:
    """A challenger that broke its limits: its version says why."""
    if change.before is not None:
        tags = {STATE: "removed", REASON: reason[:TAG_LENGTH]}
        versions.tag_version(change.api, change.name, change.before.version, tags)


def anchor(change: Rollout) -> None:
    """The registry remembers the ledger's last entry, so that a ledger cut short is noticed."""
    last = change.ledger.entries()[-1]
    versions.tag_model(change.api, change.name, "modelyard.ledger", f"{last.sequence}:{last.digest}")


def sentence(results: list[GateResult]) -> str:
    """Every refusal in one line."""
    return "; ".join(f"{result.gate}: {result.reason}" for result in results)


def markdown(change: Rollout, results: list[GateResult], report: Report | None) -> str:
    """The gates as a table."""
    version = change.after.version if change.after else "none"
    lines = [
        f"**Version {version} as {change.role}** (release `{change.id}`, asked by {change.asked_by})",
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


def _set_back(change: Rollout) -> None:
    """The alias names what truly serves again; if somebody moved it meanwhile, it is theirs."""
    if change.after is None or not change.still_wanted():
        return
    if change.before is None:
        versions.delete_alias(change.api, change.name, change.role)
        return
    try:
        versions.by_number(change.api, change.name, change.before.version)
        versions.set_alias(change.api, change.name, change.role, change.before.version)
    except (MissingError, RegistryError) as error:
        change.work.say(f"the alias cannot be set back to version {change.before.version}: {error.what}")
        versions.delete_alias(change.api, change.name, change.role)


def _annotate(change: Rollout, results: list[GateResult], report: Report | None) -> None:
    if change.after is None:
        return
    try:
        version = versions.by_number(change.api, change.name, change.after.version)
    except MissingError:
        return
    tags = {STATE: "refused", REASON: sentence(results)[:TAG_LENGTH], **({REPORT: report.url} if report else {})}
    versions.tag_version(change.api, change.name, version.version, tags)
    section = f"\n\n<!-- release -->\n\n{markdown(change, results, report)}\n\n<!-- /release -->"
    versions.describe(change.api, change.name, version.version, _SECTION.sub("", version.description) + section)


def upload(change: Rollout, evidence: str | None) -> Report | None:
    """The report as an artifact of the version's run, where the registry's UI shows it."""
    if evidence is None or change.after is None or not Path(evidence).is_dir():
        return None
    gates = change.work.project.state / "gates" / change.name
    if Path(evidence).resolve().parent != gates.resolve():  # read from the ledger: no other folder is uploaded
        change.work.say(f"no report is uploaded: {evidence} is no folder of {gates}")
        return None
    try:
        version = versions.by_number(change.api, change.name, change.after.version)
        run = tracking.by_id(change.api, version.run_id)
        place = f"release/{change.id}"
        change.api.upload_folder(f"{run.artifact_uri}/{place}", Path(evidence))
    except ModelyardError as error:  # a version without a run, or one whose run was deleted: the report stays here
        change.work.say(f"the report stays in {evidence}: {error.what}")
        return None
    picture = Path(evidence) / "comparison.png"
    query = urlencode({"path": f"{place}/{picture.name}", "run_uuid": run.id})
    return Report(
        f"{run.url(change.api.url)}/artifacts/{place}/report.html",
        f"{change.api.url}/get-artifact?{query}" if picture.exists() else None,
    )
