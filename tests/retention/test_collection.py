"""gc: what something needs stays, all else goes, whenever it is killed and whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from components.contracts.serving_spec import SPEC_FILE
from components.contracts.settings import RetentionSettings
from components.core.errors import StackError
from components.core.project import Project
from components.provenance import chain, target, tombstone
from components.registry.api import Api
from components.release import ledger as ledgers
from flows.retention import needed, removal
from flows.retention.collection import Collected, Collection
from tests.retention import planted
from tests.retention.planted import Planted


@pytest.fixture
def garden(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "project")


def collection(project: Project, registry: Api | None, **settings: Any) -> Collection:
    return Collection(project, RetentionSettings(**settings), registry, None, lambda _: None)


def collect(project: Project, registry: Api | None, **settings: Any) -> Collected:
    with removal.lock(project):
        removal.finish(project, lambda _: None)
        gc = collection(project, registry, **settings)
        return gc.collect(gc.judge_all())


def names(project: Project, registry: Api | None, *, removable: bool, **settings: Any) -> set[tuple[str, str]]:
    verdicts = collection(project, registry, **settings).judge_all()
    return {(one.item.kind, one.item.name) for one in verdicts if one.removable is removable}


def test_of_every_kind_what_is_needed_stays_and_the_rest_goes(garden: Planted) -> None:
    project, before = garden.project, planted.tree(garden.project)
    assert names(project, garden.registry, removable=True) == garden.useless
    assert names(project, garden.registry, removable=False) == garden.needed
    (project.root / "modelyard.toml").write_text("[retention]\npredictions_days = 30\n")
    window = ("window", "sample/2026-01-02T03")
    assert names(project, garden.registry, removable=True, predictions_days=30) == garden.useless | {window}
    (project.root / "modelyard.toml").unlink()
    assert planted.tree(project) == before  # a plan changes nothing
    done = collect(project, garden.registry)
    assert {(one.item.kind, one.item.name) for one in done.removed} == garden.useless
    assert (done.kept_after_all, done.failed) == ((), ())
    assert done.bytes > 5000
    assert names(project, garden.registry, removable=True) == set()
    assert names(project, garden.registry, removable=False) == garden.needed
    after = planted.tree(project)
    assert after.items() <= before.items()
    assert {"stack/logs/mlflow.log", "stack/logs/serve-other.log", "last/pipeline-sample.json"} <= after.keys()
    stones = {(kind, name): tombstone.read(project, kind, name) for kind, name in garden.useless}
    assert all(stones.values())
    assert not (project.retention / "trash").exists()
    assert not (project.retention / "plan.json").exists()
    assert [entry.event for entry in ledgers.of(project, "sample").entries()][-1] == "served"


@pytest.mark.parametrize(("keep", "stays"), [(1, {"5", "6"}), (2, {"4", "5", "6"}), (9, set("123456"))])
def test_so_many_rollback_targets_stay(garden: Planted, keep: int, stays: set[str]) -> None:
    found = names(garden.project, garden.registry, removable=False, rollback_targets=keep)
    pinned = {f"sample:{planted.digits(number)[:12]}": str(number) for number in range(1, 7)}
    assert {pinned[name] for kind, name in found if kind == "bundle" and name in pinned} == stays


def test_with_the_registry_away_what_needs_it_is_not_judged(garden: Planted) -> None:
    removable = names(garden.project, None, removable=True)
    assert removable == {one for one in garden.useless if one[0] not in ("bundle", "package", "run", "reference")}
    verdicts = collection(garden.project, None).judge_all()
    forgotten = next(one for one in verdicts if one.item.name == f"sample:{planted.digits(0x22)[:12]}")
    assert forgotten.why.startswith("not judged: the registry does not run")
    collect(garden.project, None)
    assert {one for one in garden.useless if one[0] in ("bundle", "package", "run")} <= names(
        garden.project, garden.registry, removable=True
    )


def test_what_is_young_stays(garden: Planted) -> None:
    for path in garden.project.state.rglob("*"):
        os.utime(path)
    assert names(garden.project, garden.registry, removable=True) == set()
    planted.make_old(garden.project, hours=2)
    kinds = {kind for kind, _ in names(garden.project, garden.registry, removable=True)}
    assert kinds == {
        "bundle",
        "package",
        "run",
        "evidence",
        "service",
        "reference",
    }  # reports, logs and requests stay for days
    planted.make_old(garden.project, hours=2)
    assert names(garden.project, garden.registry, removable=True, min_age_minutes=180) == set()
    inside = garden.project.run_folder(planted.digits(0x31)) / "checkpoints" / "state"
    inside.write_bytes(b"a step more")  # the folder itself looks as old as before
    assert ("run", planted.digits(0x31)[:16]) in names(garden.project, garden.registry, removable=False)


def test_of_an_open_run_nothing_goes(garden: Planted) -> None:
    run = planted.open_run(garden.project)
    found = names(garden.project, garden.registry, removable=True)
    assert {kind for kind, _ in found} == {
        "service",
        "log",
        "request",
        "report",
        "rehearsal",
    }  # its pipeline is not known
    run.write_text(json.dumps({"pid": 0, "start": 0, "boot": ""}))  # it was killed
    assert names(garden.project, garden.registry, removable=True) == garden.useless


def test_of_an_open_release_nothing_goes(garden: Planted) -> None:
    ledgers.of(garden.project, "sample").append(
        "asked", release="open", role="challenger", before=None, after=None, asked_by="ann"
    )
    found = names(garden.project, garden.registry, removable=True)
    assert {one for one in found if one[0] in ("bundle", "package", "run", "evidence")} == {
        ("bundle", f"gone:{planted.digits(0x23)[:12]}")
    }


def test_a_ledger_or_a_spec_that_cannot_be_read_holds_all_of_its_model(garden: Planted) -> None:
    (garden.project.service("sample") / SPEC_FILE).write_text("{")
    found = names(garden.project, garden.registry, removable=True)
    assert not [one for one in found if one[0] == "bundle" and one[1].startswith("sample:")]
    (garden.project.service("sample") / SPEC_FILE).unlink()
    planted.write_spec(garden.project, "sample", planted.pin("6", "6" * 64, f"sample:{planted.digits(6)[:12]}"))
    (garden.project.ledger / "key").unlink()
    found = names(garden.project, garden.registry, removable=True)
    assert not [one for one in found if one[0] == "bundle" and one[1].startswith("sample:")]


def test_a_run_folder_that_a_trainer_holds_stays(garden: Planted) -> None:
    folder = garden.project.run_folder(planted.digits(0x31))
    with (folder / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert ("run", folder.name) in names(garden.project, garden.registry, removable=False)
    assert ("run", folder.name) in names(garden.project, garden.registry, removable=True)


def test_a_bundle_that_is_being_built_stays(garden: Planted) -> None:
    home = garden.project.bundles
    name = planted.digits(0x23)[:12]
    lock = planted.file(home / "building" / f"gone-{name}.lock")
    with lock.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert ("bundle", f"gone:{name}") in names(garden.project, garden.registry, removable=False)
    assert ("bundle", f"gone:{name}") in names(garden.project, garden.registry, removable=True)


def test_a_damaged_bundle_stays_while_its_service_runs(garden: Planted) -> None:
    for model in ("other", "ended"):
        planted.file(garden.project.bundles / "damaged" / f"{model}-{planted.digits(7)[:12]}-17" / "bento.yaml")
    planted.make_old(garden.project)
    gone = {name for _, name in names(garden.project, garden.registry, removable=True) if name.startswith("damaged")}
    assert gone == {f"damaged ended-{planted.digits(7)[:12]}-17"}


def test_what_something_needs_by_the_time_it_would_go_stays(garden: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = f"sample:{planted.digits(0x22)[:12]}"
    real, calls = removal.remove, [0]

    def remove(project: Project, entry: removal.Removal) -> bool:
        calls[0] += 1
        if calls[0] == 1:  # meanwhile a person sets an alias on the version that is about to go
            digest = next(item for item in gc.judge_all() if item.item.name == forgotten).item.package_digest
            assert digest is not None
            garden.registry.digests["sample", "8"] = digest
            garden.registry.aliases["sample"]["challenger"] = "8"
        return real(project, entry)

    monkeypatch.setattr(removal, "remove", remove)
    gc = collection(garden.project, garden.registry)
    with removal.lock(garden.project):
        done = gc.collect(gc.judge_all())
    kept = dict(done.kept_after_all)
    assert kept[f"bundle {forgotten}"] == "it is challenger of sample"
    assert f"package {planted.digits(0x22)[:16]}" in kept
    assert (garden.project.bundles / "bentos" / "sample" / planted.digits(0x22)[:12]).exists()


def test_what_is_written_between_plan_and_removal_stays(garden: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = garden.project.run_folder(planted.digits(0x31))
    real = needed.change_token

    def change_token(project: Project, api: Api | None) -> tuple[object, ...]:
        if (garden.project.retention / "plan.json").exists():
            (folder / "checkpoints" / "state").write_bytes(b"a step more")
        return real(project, api)

    monkeypatch.setattr(needed, "change_token", change_token)
    done = collect(garden.project, garden.registry)
    assert (f"run {folder.name}", "written meanwhile") in done.kept_after_all
    assert (folder / "checkpoints" / "state").read_bytes() == b"a step more"


def test_two_at_once_are_one(garden: Planted) -> None:
    with (
        removal.lock(garden.project),
        pytest.raises(StackError, match="another gc is at work"),
        removal.lock(garden.project),
    ):
        pass


def _collect_and_die(root: Path, garden: Planted, number: int) -> None:
    """Collect, and kill this process at the n-th step with files."""
    count = [0]

    def ticking(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            for _ in range(1):
                count[0] += 1
                if count[0] == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("rename", "unlink", "rmdir", "replace"):
        setattr(os, name, ticking(getattr(os, name)))
    for name in ("replace", "unlink", "rmdir"):
        setattr(Path, name, ticking(getattr(Path, name)))
    collect(Project(root), garden.registry)


@pytest.mark.slow
def test_killed_at_any_step_it_loses_nothing_and_the_next_one_goes_on(garden: Planted, tmp_path: Path) -> None:
    whole = planted.tree(garden.project)
    collected = tmp_path / "collected"
    shutil.copytree(garden.project.root, collected, symlinks=True)
    collect(Project(collected), garden.registry)
    least = planted.tree(Project(collected))
    context, number = multiprocessing.get_context("fork"), 1
    while True:
        root = tmp_path / f"killed-{number}"
        shutil.copytree(garden.project.root, root, symlinks=True)
        process = context.Process(target=_collect_and_die, args=(root, garden, number))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        left = planted.tree(Project(root))
        assert least.items() <= left.items() <= whole.items(), number
        collect(Project(root), garden.registry)
        assert planted.tree(Project(root)) == least, number
        assert not (Project(root).retention / "trash").exists()
        stones = [tombstone.read(Project(root), kind, name) for kind, name in garden.useless]
        assert all(stones), number
        shutil.rmtree(root)
        if process.exitcode == 0:
            break
        number += 7  # each step is like its neighbours; several hundred of them
    assert number > 40


# What is said of things that are gone


def test_a_proof_says_that_a_bundle_was_removed(garden: Planted) -> None:
    tag = f"sample:{planted.digits(1)[:12]}"
    collect(garden.project, garden.registry)
    (pieces,) = target.artifacts(garden.project, tag, None)
    proof = chain.prove(garden.project, tag, pieces, None)
    said = {link.name: (link.state, link.said) for link in proof.links}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert proof.holds
    assert said["bundle"][0] == "absent"
    assert said["bundle"][1].startswith(f"removed by gc on {today}: {tag}")
    assert said["package"] == ("absent", tombstone.of_kind(garden.project, "package")[-1].text) or said["package"][
        1
    ].startswith("removed by gc on")


def test_tombstones_name_what_was_there(garden: Planted) -> None:
    collect(garden.project, garden.registry)
    stone = tombstone.read(garden.project, "bundle", f"sample:{planted.digits(1)[:12]}")
    assert stone is not None
    assert (stone.model, stone.version, stone.package_digest is not None) == ("sample", "1", True)
    assert stone.digest is not None
    assert stone.bytes > 1000
    assert "no alias, pin, rollback target" in stone.reason
    assert tombstone.read(garden.project, "bundle", "sample:000000000000") is None
