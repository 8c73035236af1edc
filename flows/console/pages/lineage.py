"""The page of lineage: from an answer, or a version, to the commit that it comes from, as a graph of links.

What is shown is what ledger, registry and bundles name. Whether it is true, the chain of proof says: it reads every
artifact, so it is asked for.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from components.contracts.prediction_log import Feedback
from components.core.errors import ModelyardError
from components.identity import manifest as manifests
from components.identity.digest import short
from components.packaging.bundle import Bundle
from components.release import history, production
from components.release.ledger import Entry
from components.release.production import Pin
from flows.console.pages import model as models
from flows.console.sources import Sources

WAIT_SECONDS = 1.5
# Where a node stands: column and row.
_PLACES = {
    "answer": (0, 0), "release": (0, 1), "bundle": (1, 0), "package": (1, 1), "version": (2, 0), "run": (2, 1),
    "data": (2, 2), "commit": (3, 0), "lock": (3, 1), "report": (3, 2),
}  # fmt: skip
_EDGES = (
    ("answer", "bundle"), ("release", "bundle"), ("bundle", "package"), ("package", "version"), ("package", "data"),
    ("version", "run"), ("run", "commit"), ("run", "lock"), ("data", "report"),
)  # fmt: skip
_TITLES = {
    "answer": "Answer", "release": "Release", "bundle": "Bundle", "package": "Package", "version": "Model version",
    "run": "Training run", "data": "Data", "commit": "Commit", "lock": "Locked environment", "report": "Data report",
}  # fmt: skip
# The node that a link of the chain of proof is about.
_NODE_OF_LINK = {"service": "answer", "artifacts": "version", "dvc": "data"}
_COMMIT = re.compile(r"[0-9a-f]{40}(-dirty)?")
_DATASET = re.compile(r"^dataset:\s*[\"']?([A-Za-z0-9_-]+)", re.MULTILINE)


def document(sources: Sources, prediction_id: str, model: str, version: str, *, verify: bool) -> dict[str, Any]:
    """The page's document.

    Args:
        prediction_id: of an answer; "" where a version is asked for.
        model, version: what is asked for without a prediction id.
        verify: whether the chain of proof is asked for.

    Raises:
        NotFoundError: there is no such model.
    """
    problems: list[str] = []
    answers: list[dict[str, Any]] = []
    pending = False
    if prediction_id and not _is_id(prediction_id):
        problems.append("this is no prediction id: 8 and 16 hex digits with a hyphen between are expected")
    elif prediction_id:
        found = sources.predictions.get(prediction_id, WAIT_SECONDS)
        pending = found.pending and found.value is None
        problems += [found.error] if found.error else []
        if found.value is not None:
            model = found.value["model"] or ""
            answers = [{**one, "text": json.dumps(one["output"], ensure_ascii=False)} for one in found.value["answers"]]
            version = str(answers[0]["version"]) if answers else ""
            if not answers:
                problems.append("no prediction log of this project has an answer of this id")
    nodes: list[dict[str, Any]] = []
    chain: dict[str, Any] | None = None
    if model and version:
        models.require(sources, model)
        nodes = _nodes(sources, model, version, answers, problems)
        if verify:
            proved = sources.chains.get((model, version), WAIT_SECONDS)
            chain = {"pending": proved.pending and proved.value is None, "error": proved.error, **(proved.value or {})}
            _add_states(nodes, chain.get("links", []))
    there = {node["kind"] for node in nodes}
    return {
        "query": {"id": prediction_id, "model": model, "version": version, "verify": verify},
        "pending": pending,
        "answers": answers,
        "nodes": nodes,
        "edges": [list(edge) for edge in _EDGES if set(edge) <= there],
        "chain": chain,
        "problems": problems,
    }


def _is_id(text: str) -> bool:
    try:
        Feedback(id=text, truth=None)
    except ValueError:
        return False
    return True


def curves(found: dict[str, Any]) -> list[str]:
    """The edges as SVG paths over a grid of cells of 100 by 100."""
    paths = []
    for begin, end in found["edges"]:
        (column, row), (to_column, to_row) = _PLACES[begin], _PLACES[end]
        if column == to_column:
            x = 100 * column + 50
            paths.append(f"M{x} {100 * row + 90} L{x} {100 * to_row + 10}")
        else:
            x, y, to_x, to_y = 100 * column + 94, 100 * row + 50, 100 * to_column + 6, 100 * to_row + 50
            middle = (x + to_x) / 2
            paths.append(f"M{x} {y} C{middle} {y} {middle} {to_y} {to_x} {to_y}")
    return paths


def _nodes(
    sources: Sources, model: str, version: str, answers: list[dict[str, Any]], problems: list[str]
) -> list[dict[str, Any]]:
    try:
        entries = sources.releases.entries(model)
    except ModelyardError as error:
        entries = []
        problems.append(f"the ledger cannot be read: {error.what}")
    registered = sources.versions.get(model, WAIT_SECONDS)
    if registered.error:
        problems.append(f"the registry does not answer: {registered.error}")
    row = next((one for one in registered.value or [] if one["version"] == version), None)
    pins = [pin for pin in production.pins(entries).values() if pin.version == version]
    digest = answers[0]["package"] if answers else row["package_digest"] if row else None
    pin = next((one for one in reversed(pins) if digest in (None, one.package_digest)), None)
    facts = _package_facts(sources, pin)
    tags: dict[str, str] = row["tags"] if row else {}
    digest = digest or (pin.package_digest if pin else None)
    made = [
        _answer(answers),
        _release(model, version, entries),
        _bundle(version, pin, entries),
        _node("package", short(digest) if digest else None, [("task", facts.get("task")), ("digest", digest)]),
        _node("version", f"{model} {version}", [("aliases", ", ".join(row["aliases"]) if row else None),
              ("release", row["state"] if row else None)], row["url"] if row else None),
        _node("run", row["run"][:12] if row and row["run"] else None,
              [("fingerprint", facts.get("train_fingerprint") or tags.get("modelyard.train_key"))],
              _run_page(row)),
        _data(sources, model, facts, tags),
        _commit(tags),
        _node("lock", short(tags["modelyard.lock_digest"]) if "modelyard.lock_digest" in tags else None,
              [("requirements.lock", tags.get("modelyard.lock_digest"))]),
        _report(sources, model),
    ]  # fmt: skip
    return [node for node in made if node is not None]


def _node(kind: str, text: str | None, facts: list[tuple[str, Any]], href: str | None = None) -> dict[str, Any]:
    column, row = _PLACES[kind]
    return {
        "kind": kind,
        "title": _TITLES[kind],
        "text": text or "not known here",
        "known": text is not None,
        "facts": {name: str(value) for name, value in facts if value},
        "href": href,
        "column": column,
        "row": row,
        "links": [],
    }


def _answer(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not answers:
        return None
    first = answers[0]
    facts = [("time", first["time"]), ("role", first["role"]), ("latency", f"{first['latency_ms']:.1f} ms"),
             ("log", f"sealed hour {first['sealed']}" if first["sealed"] else "hour not sealed yet")]  # fmt: skip
    return _node("answer", first["id"], facts)


def _release(model: str, version: str, entries: list[Entry]) -> dict[str, Any]:
    found = [one for one in history.releases(entries) if one.after and one.after.version == version]
    if not found:
        return _node("release", None, [])
    last = found[-1]
    event = (last.end or last.entries[-1]).event
    facts = [("asked by", last.entries[0].asked_by), ("time", last.entries[0].time), ("as", last.role)]
    return _node("release", f"{event}, release {last.id}", facts, f"/models/{quote(model)}#release-{quote(last.id)}")


def _bundle(version: str, pin: Pin | None, entries: list[Entry]) -> dict[str, Any]:
    """The bundle that production was made of, or else the one that was built last for the version."""
    if pin is not None:
        return _node("bundle", pin.bundle, [("digest", pin.bundle_digest)])
    built = [one for one in entries if one.event == "bundled" and one.after and one.after.version == version]
    tag = built[-1].facts.get("bundle") if built else None
    return _node("bundle", str(tag) if tag else None, [("digest", built[-1].facts.get("digest") if built else None)])


def _package_facts(sources: Sources, pin: Pin | None) -> dict[str, Any]:
    """The facts of the package in a pinned bundle; {} where it is not on this machine."""
    if pin is None:
        return {}
    model, _, digits = pin.bundle.partition(":")
    try:
        return manifests.load(Bundle(sources.project.bundles, model, digits).source / "package", "package").facts
    except ModelyardError:
        return {}


def _data(sources: Sources, model: str, facts: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    digest = facts.get("data_digest") or tags.get("modelyard.data_digest")
    dataset = _dataset(sources, model)
    rows = [("dataset", dataset), ("prepared", digest), ("raw", (facts.get("lineage") or {}).get("raw_digest"))]
    return _node("data", short(str(digest)) if digest else None, rows, f"/data/{quote(dataset)}" if dataset else None)


def _report(sources: Sources, model: str) -> dict[str, Any]:
    dataset = _dataset(sources, model)
    there = dataset is not None and (sources.project.reports(dataset) / "prepared.html").is_file()
    page = f"/data/{quote(str(dataset))}/reports/prepared.html" if there else None
    return _node("report", "expectations of the prepared data" if there else None, [("dataset", dataset)], page)


def _commit(tags: dict[str, str]) -> dict[str, Any]:
    name = tags.get("modelyard.git_commit")
    if name is None or not _COMMIT.fullmatch(name):
        return _node("commit", None, [("tag", name)])
    changed = "with changes of its own" if name.endswith("-dirty") else None
    return _node("commit", name[:12], [("commit", name), ("state", changed)])


def _run_page(row: dict[str, Any] | None) -> str | None:
    """The page of a version's run in the registry."""
    if row is None or not row["run"]:
        return None
    server, _, _ = row["url"].partition("/#/")
    return f"{server}/#/runs/{quote(row['run'])}"


def _dataset(sources: Sources, model: str) -> str | None:
    try:
        match = _DATASET.search(sources.project.pipeline_file(model).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return match[1] if match else None


def _add_states(nodes: list[dict[str, Any]], links: list[dict[str, Any]]) -> None:
    for link in links:
        kind = _NODE_OF_LINK.get(link["name"], link["name"])
        for node in nodes:
            if node["kind"] == kind:
                node["links"].append(link)
