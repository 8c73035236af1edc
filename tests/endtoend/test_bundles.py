"""A bundle travels: exported with evidence and signed in one project, refused or imported and promoted in another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.contracts.gate_request import GateEvidence, GateResult
from components.core.errors import CorruptArtifactError, SignatureError
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity.package import Package
from components.packaging import archive, signature
from components.registry import tracking, versions
from components.registry.api import Api
from components.registry.versions import PACKAGE_DIGEST, Version
from components.release import ledger as ledgers
from components.release.ledger import VersionRef
from flows.deployment import evidence, export, importing
from flows.deployment.export import ExportOptions
from flows.deployment.released_bundle import ChosenBundle
from tests.endtoend.releases import Releases
from tests.house import House
from tests.packaging import keys
from tests.provenance import small_chain

pytestmark = pytest.mark.slow
NAME = "sample"
GATES_KEY = "9" * 64


def origin(root: Path, api: Api) -> ChosenBundle:
    """Version 4 of `sample` in a project of its own: data, run, bundle, gates and a release in its ledger."""
    project, bundle = Project(root), small_chain.make(root)
    package = Package.open(bundle.source / "package")
    run = tracking.ensure(api, f"{NAME}-origin", package.facts.train_fingerprint, {})
    tracking.log_data(api, run, project.dataset("things"))
    gates = project.gates(NAME, GATES_KEY)
    gates.mkdir(parents=True)
    passed = GateResult(gate="parity", passed=True, figures={}, limit="0", reason="the same answers")
    found = GateEvidence(key=GATES_KEY, results=[passed], report="report.html")
    (gates / "evidence.json").write_text(found.model_dump_json())
    (gates / "report.html").write_text("<p>report</p>")
    served = VersionRef(version="4", package_digest=package.digest)
    for event, facts in (("asked", {}), ("gated", {"evidence": GATES_KEY}), ("served", {})):
        ledgers.of(project, NAME).append(
            event, release="r1", role="champion", before=None, after=served, asked_by="ada", facts=facts
        )  # fmt: skip
    tags = {
        PACKAGE_DIGEST: package.digest,
        tracking.KEY: package.facts.train_fingerprint,
        "modelyard.data_digest": package.facts.data_digest,
        "modelyard.git_commit": "1" * 40,
    }
    version = Version(NAME, "4", "", run.id, tags, ("champion",), 0, "as trained there")
    return ChosenBundle(version, bundle, was_released=True)


def changed(file: Path, name: str, change: Callable[[str], str], *, sealed_anew: bool) -> Path:
    """A copy of an archive with one file of its evidence changed; `sealed_anew`: with a manifest that fits."""
    target = file.with_name("changed.tar")
    with archive.unpacked(file) as opened:
        place = opened.folder / "evidence" / name
        text = place.read_text()
        assert change(text) != text
        place.write_text(change(text))
        if sealed_anew:
            kept = {path: path.read_bytes() for path in opened.folder.glob("*.sig")}
            for path in kept:
                path.unlink()
            (opened.folder / manifests.FILE_NAME).unlink()
            manifests.seal(opened.folder, "archive", opened.manifest.facts)
            for path, content in kept.items():
                path.write_bytes(content)
        archive.pack(opened.folder, target)
    return target


@contextmanager
def settings(house: House, text: str) -> Iterator[None]:
    """More lines in the project's modelyard.toml, for a while."""
    file = house.root / "modelyard.toml"
    before = file.read_text() if file.exists() else None
    file.write_text(f"{before or ''}\n{text}")
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


def test_a_bundle_goes_from_one_project_into_another_and_out_again(
    releases: Releases, house: House, tmp_path: Path
) -> None:
    private, public = keys.pair(tmp_path)
    _, other = keys.pair(tmp_path, "other")
    chosen = origin(tmp_path / "there", releases.api)
    file, log = tmp_path / "sample.tar", list[str]()
    options = ExportOptions(with_evidence=True, key=private)
    export.export(Project(tmp_path / "there"), releases.api, chosen, file, options, log.append)
    assert [line for line in log if "without" in line] == []

    # Nothing that is not as it was exported comes in.
    def bring(path: Path, key: Path | None = None) -> importing.ImportedVersion:
        return importing.import_archive(house.project, releases.api, path, log.append, public_key=key)

    gates = f"gates/{GATES_KEY[:16]}/evidence.json"
    with pytest.raises(CorruptArtifactError, match="not the one that was sealed"):
        bring(changed(file, gates, lambda text: text.replace("same", "SAME"), sealed_anew=False))
    with pytest.raises(SignatureError, match="not the one that was signed"):
        bring(changed(file, gates, lambda text: text.replace("same", "SAME"), sealed_anew=True), public)
    with pytest.raises(SignatureError, match="another key"):
        bring(file, other)
    for name, change, words in (
        ("ledger.jsonl", lambda text: text.replace('"ada"', '"eve"'), "changed"),
        (evidence.ORIGIN, lambda text: text.replace(chosen.version.package_digest, "0" * 64), "another package"),
        (gates, lambda text: text.replace("9" * 64, "8" * 64), "does not name"),
        (gates, lambda text: text[:-1], "cannot be read"),
        ("data/prepared/verdict.json", lambda text: text.replace("true", "false"), "not the one that was sealed"),
    ):
        with pytest.raises(CorruptArtifactError, match=words):
            bring(changed(file, name, change, sealed_anew=True))
    assert NAME not in versions.names(releases.api)

    # Without a pipeline of that name nothing is promoted; with one, this installation's gates decide.
    command = ("import", str(file), "--promote", "--require-signature", "--public-key", str(public))
    refused = house.run(*command, check=False)
    assert (refused.returncode, "is not here" in refused.stderr) == (2, True)
    releases.pipeline(NAME)
    require = f'[signing]\nrequire = "{public}"\n'
    with settings(house, require):  # bundles are not signed, and must be
        refused = house.run(*command[:3], check=False)
        assert (refused.returncode, "integrity" in refused.stderr, "not signed" in refused.stderr) == (3, True, True)
    assert releases.serves(NAME) is None
    with settings(house, f'{require}key = "{private}"\n'):
        done = house.json(*command, timeout=120)
    assert (done["model"], done["version"], done["new"]) == (NAME, "1", False)
    assert done["signed with"] == signature.key_fingerprint(public)
    assert "3 ledger entries, 1 gate reports" in done["evidence"]
    assert releases.serves(NAME) == "1"
    assert releases.events(NAME, "1")[-1] == "served"
    tags = releases.tags(NAME, "1")
    assert tags["modelyard.imported_archive"] == done["archive digest"]
    assert tags["modelyard.imported_git_commit"] == "1" * 40
    assert "version 4 of another installation" in versions.by_number(releases.api, NAME, "1").description
    states = {link["name"]: link for link in house.json("verify", f"{NAME}@champion")["chains"][0]["links"]}
    assert {name for name, link in states.items() if link["state"] == "broken"} == set()
    assert {"data", "commit", "lock"} <= {name for name, link in states.items() if link["state"] == "absent"}
    assert "imported" in states["commit"]["said"]
    assert states["run"]["state"] == states["version"]["state"] == "ok"

    # The same again is known; and what serves leaves as the very bundle that was released.
    again = house.json("import", str(file))
    assert (again["version"], again["new"], again["signed with"]) == ("1", False, None)
    out = tmp_path / "out.tar"
    written = house.json("bundle", NAME, "--export", str(out), "--with-evidence", "--sign", str(private))
    assert written["was released"]
    assert written["bundle"] == next(one for one in releases.entries(NAME) if one.event == "bundled").facts["bundle"]
    proof = house.json("verify", str(out), "--require-signature", "--public-key", str(public))["chains"][0]
    said = {link["name"]: (link["state"], link["said"]) for link in proof["links"]}
    assert [said[name][0] for name in ("archive", "signature", "evidence", "bundle", "package", "version")] == [
        "ok"
    ] * 6
    assert written["archive digest"][:12] in said["archive"][1]
    assert "gate reports" in said["evidence"][1]
    wrong = house.run("verify", str(out), "--require-signature", "--public-key", str(other), check=False)
    assert (wrong.returncode, "signed with another key" in wrong.stderr) == (1, True)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(out.read_bytes()[:100_000])
    refused = house.run("verify", str(cut), check=False)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert json.loads(house.run("verify", str(cut), "--json", check=False).stdout)["holds"] is False
