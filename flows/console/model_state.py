"""The state of a model in a few words, from what is at hand: no service is asked and no pipeline file is read."""

from __future__ import annotations

from typing import Literal, NamedTuple

from components.release.decision import DesiredState
from flows.console.release_index import ReleaseSummary
from flows.console.sources import Sources
from flows.console.traffic import Traffic
from flows.releases import activity, observation

Severity = Literal["good", "busy", "bad", "unknown", "none"]


class ModelState(NamedTuple):
    """What a person should know first.

    Args:
        severity: `good`: in step; `busy`: a release goes on; `bad`: somebody should look; `unknown`: a source does not
            answer; `none`: nothing is asked for.
    """

    severity: Severity
    text: str


def of(
    sources: Sources, name: str, summary: ReleaseSummary | None, desired: DesiredState | None, traffic: Traffic | None
) -> ModelState:
    """The state of one model.

    Args:
        summary: None: the ledger was not read yet.
        desired: None: the registry does not answer.
        traffic: None: the platform runs no service of it.
    """
    if summary is None:
        return ModelState("unknown", "the ledger is being read")
    if summary.problem is not None:
        return ModelState("bad", summary.problem)
    if summary.open:
        first = summary.open[0]
        at_work = observation.is_at_work(sources.project, name)
        verb = "waits for approval" if first.event == "waiting" else "releasing" if at_work else "left unfinished"
        return ModelState(
            "busy" if at_work else "bad", f"{verb}: {first.role} {first.version or 'none'}, {first.event}"
        )
    found = activity.read(sources.project, name)
    if found is not None and found.doing == "retrying":
        return ModelState("bad", found.failure or found.reason)
    if summary.champion is not None and (traffic is None or not traffic.answers):
        return ModelState("bad", "the service does not run" if traffic is None else "the service does not answer")
    if desired is None:
        return ModelState("unknown", "the registry does not answer")
    if desired.champion != summary.champion or desired.challenger != summary.challenger:
        reason = found.reason if found is not None and found.doing in ("waiting", "releasing") else ""
        return ModelState("busy", reason or "the controller has not taken it up yet")
    if summary.champion is None:
        return ModelState("none", "nothing is asked for")
    if traffic is not None and traffic.observed.unloadable:
        return ModelState("bad", f"the champion cannot be loaded: {traffic.observed.unloadable}")
    if traffic is not None and traffic.observed.broken:
        return ModelState("bad", f"the challenger was taken out: {traffic.observed.broken}")
    return ModelState("good", "in step")
