"""`modelyard forget` on real files: logs, a dataset, packages; killed between any two steps; what the ledger says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.contracts.dataset import DatasetSpec
from components.contracts.prediction_log import BY_REQUEST, OPEN, hour_of
from components.core import atomic, located_yaml
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity.artifact_store import LocalArtifactStore
from components.ingestion import sample_file, stage
from components.monitoring import forgetting, held_samples, log_store, sealing
from components.monitoring.subject import Subject
from components.release import ledger as ledgers
from flows.cli import main
from flows.retention import forget

ROWS = [("anna", 30, "yes"), ("bert", 40, "no"), ("anna", 31, "no"), ("cleo", 50, "yes")]
DATASET = """name: people
task: tabular-classification
source:
  kind: csv  # of a shop
  path: people.csv
  categories: [customer]
  numbers: [age]
  label: bought
"""
PIPELINE = (
    "name: shop\ndataset: people\ntask: tabular-classification\nmodel: {family: mlp, name: mlp}\n"
    "train: {epochs: 1, batch_size: 2, optimizer: adamw, learning_rate: 1.0e-3, seed: 0}\n"
)
ANNA = Subject(key="customer", value="anna")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/shop.yaml").write_text(PIPELINE)
    (tmp_path / "dvc.yaml").touch()
    folder = tmp_path / "data/people"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(DATASET)
    pd.DataFrame(ROWS, columns=["customer", "age", "bought"]).to_csv(folder / "people.csv", index=False)
    _ingest(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELYARD_PROJECT", raising=False)
    return Project.find()


def _ingest(folder: Path) -> list[str]:
    stage.ingest(located_yaml.read(folder / "dataset.yaml", DatasetSpec), folder)
    table = folder / "raw" / sample_file.FILE_NAME
    return [sample.values["row"]["customer"] for group in sample_file.groups(table) for sample in group]


def _log(project: Project, hours_ago: float, names: list[str], model: str = "shop") -> list[str]:
    """Lines as a worker writes them, with rows and inputs."""
    begin = time.time() - 3600 * hours_ago
    ids = [f"{int(begin):08x}-{place:016x}" for place in range(len(names))]
    block: dict[str, Any] = {
        "format": BY_REQUEST, "model": model, "version": "1", "package": "p", "role": "champion", "id": ids,
        "time_us": [int(1e6 * begin)] * len(ids), "latency_us": [900] * len(ids),
        "rows": {"raw.row.customer": names, "prepared.missing_values": [0] * len(ids)},
        "inputs": [{"customer": name, "age": 1} for name in names], "outputs": [[{"label": "yes"}]] * len(ids),
    }  # fmt: skip
    folder = project.predictions(model) / OPEN / hour_of(begin)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1-a.predictions.jsonl").write_text(json.dumps(block) + "\n")
    truths = [json.dumps({"id": name, "index": 0, "truth": "no", "at": None, "arrived": begin}) for name in ids]
    (folder / "1-a.feedback.jsonl").write_text("\n".join(truths) + "\n")
    return ids


def _rows(project: Project) -> list[str]:
    found: list[str] = []
    for one in sealing.sealed_hours(project.predictions("shop")):
        manifests.verify(one.folder, "predictions")
        table = pd.read_parquet(one.folder / sealing.PREDICTIONS)
        assert len(table) == one.manifest.facts["predictions"]
        assert set(pd.read_parquet(one.folder / sealing.FEEDBACK)["id"]) == set(table["id"])
        assert (
            table["input"].map(lambda text: json.loads(text)["customer"]).tolist() == table["raw.row.customer"].tolist()
        )
        found += table["raw.row.customer"].tolist()
    return sorted(found)


def _run(*words: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["forget", *words])
    return code, *capfd.readouterr()


def test_a_dry_run_names_everything_and_changes_nothing(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    _log(project, 5, ["anna", "bert"])
    _log(project, 0, ["anna"])
    before = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file() and "lock" not in path.name}
    code, out, _ = _run("--subject", "customer=anna", "--dry-run", capfd=capfd)
    assert code == 0
    assert "log of shop: 2 rows in 2 hours" in out
    assert "dataset people: 2 samples" in out
    after = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file() and "lock" not in path.name}
    assert after == before


def test_rows_truths_and_samples_go_and_the_ledger_has_the_proof_alone(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = _log(project, 5, ["anna", "bert"])
    _log(project, 0, ["anna", "cleo"])
    code, out, err = _run("--subject", "customer=anna", "--yes", "--json", capfd=capfd)
    assert code == 0, err
    plan = json.loads(out)
    assert plan["logs"]["shop"]["hours"] == {hour_of(time.time() - 5 * 3600): 1, hour_of(time.time()): 1}
    assert ids[0] in plan["logs"]["shop"]["ids"]
    assert _rows(project) == ["bert", "cleo"]
    text = (project.dataset("people") / "dataset.yaml").read_text()
    assert "# of a shop" in text
    assert _ingest(project.dataset("people")) == ["bert", "cleo"]
    (entry,) = ledgers.of(project, "shop").entries()
    assert (entry.event, entry.facts["log"]["rows"]) == ("forgotten", 2)
    assert (
        entry.facts["datasets"]["people"]["digests"]
        == located_yaml.read(project.dataset("people") / "dataset.yaml", DatasetSpec).source.exclude
    )
    assert "anna" not in entry.model_dump_json()
    kept = [path for path in project.state.rglob("*") if path.is_file() and b"anna" in path.read_bytes()]
    assert kept == []
    assert "nothing of it is here" in _run("--subject", "customer=anna", "--yes", capfd=capfd)[1]


STEPS = ["remove", "refresh", "exclude", "note", "unlink"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_any_two_steps_is_completed_by_the_next_call(
    project: Project, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    class KilledError(BaseException):
        pass

    places: dict[str, tuple[Any, str]] = {
        "remove": (forgetting, "remove"), "refresh": (log_store, "refresh"), "exclude": (held_samples, "exclude"),
        "note": (ledgers.Ledger, "note_forgotten"), "unlink": (Path, "unlink"),
    }  # fmt: skip
    _log(project, 5, ["anna", "bert"])
    forget.seal(project)
    plan = forget.make(project, ANNA)
    owner, name = places[step]
    real = getattr(owner, name)

    def killed(*words: Any, **more: Any) -> Any:
        if step == "unlink" and words[0].parent.name != "forget":
            return real(*words, **more)
        if when == "after":
            real(*words, **more)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(KilledError):
            forget.carry_out(project, plan, lambda _: None)
    for left in forget.unfinished(project):
        forget.carry_out(project, left, lambda _: None)
    assert _rows(project) == ["bert"]
    assert _ingest(project.dataset("people")) == ["bert", "cleo"]
    (entry,) = ledgers.of(project, "shop").entries()
    assert entry.facts["log"]["rows"] == 1
    assert forget.unfinished(project) == []
    assert not list((project.state / "forget").glob("*"))


def test_a_sample_takes_the_inputs_that_are_equal_to_it_along(project: Project) -> None:
    """A sample of a dataset, by its id: the log has its row as an input, and no key is asked for."""
    table = project.dataset("people") / "raw" / sample_file.FILE_NAME
    sample = next(
        sample for group in sample_file.groups(table) for sample in group if sample.values["row"]["age"] == 31
    )
    _log(project, 5, ["anna", "bert"])
    path = next(project.predictions("shop").rglob("*.predictions.jsonl"))
    block = json.loads(path.read_text())
    block["inputs"][1] = sample.values["row"]
    path.write_text(json.dumps(block) + "\n")
    plan = forget.make(project, Subject(sample=sample.id))
    assert plan.datasets["people"].ids == [sample.id]
    assert plan.logs["shop"].ids == [block["id"][1]]
    by_id = forget.make(project, Subject(sample=block["id"][0]))
    assert (by_id.datasets, by_id.logs["shop"].ids) == ({}, [block["id"][0]])


def test_what_is_pushed_leaves_the_store_too(project: Project) -> None:
    _log(project, 5, ["anna", "bert"])
    _log(project, 9, ["cleo"])
    log, store = project.predictions("shop"), project.artifacts
    sealing.seal_closed(log)
    assert log_store.push(log, "shop", store) == 2
    assert log_store.push(log, "shop", store) == 0
    forget.carry_out(project, forget.make(project, ANNA), lambda _: None)
    blobs = b"".join(path.read_bytes() for path in (store / "blobs").rglob("*") if path.is_file())
    assert b"anna" not in blobs
    for one in sealing.sealed_hours(log):
        assert LocalArtifactStore(store).has(one.manifest.digest)
    assert len(list((store / "manifests").iterdir())) == 2


def test_packages_that_were_made_from_the_samples_are_named(project: Project) -> None:
    samples = held_samples.datasets(project, ANNA)
    for name, digest in (("aa", samples["people"].raw_digest), ("bb", "0" * 64)):
        with atomic.folder(project.state / "packages" / name) as folder:
            (folder / "x").write_text(name)
            manifests.seal(folder, "package", {"pipeline": "shop", "lineage": {"raw_digest": digest}})
    (held,) = held_samples.holders(project, samples)
    assert (held.kind, held.name, held.model) == ("package", "aa", "shop")


@pytest.mark.parametrize("words", [(), ("--sample", "a", "--subject", "b=c"), ("--subject", "b"), ("--subject", "=c")])
def test_words_that_are_none_are_refused(
    project: Project, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert _run(*words, capfd=capfd)[0] == 2


def test_without_a_yes_nothing_is_removed(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    _log(project, 5, ["anna"])
    code, _, err = _run("--subject", "customer=anna", capfd=capfd)
    assert (code, "nothing is removed without a yes" in err) == (2, True)
    assert _rows(project) == ["anna"]


def test_a_person_is_found_by_the_column_that_became_another_field(project: Project) -> None:
    folder = project.dataset("people")
    document = DATASET.replace("  categories: [customer]\n", "  group: customer\n")
    (folder / "dataset.yaml").write_text(document + "split: {group: group, test: 0.3, validation: 0.3}\n")
    stage.ingest(located_yaml.read(folder / "dataset.yaml", DatasetSpec), folder)
    for key in ("customer", "group"):
        found = held_samples.in_dataset(folder, Subject(key=key, value="anna"))
        assert found is not None, key
        assert len(found.ids) == 2
    assert held_samples.in_dataset(folder, Subject(key="customer", value="nobody")) is None


def test_a_text_that_was_logged_is_found(project: Project) -> None:
    whose = Subject(key="text", value="my name is Eva")
    assert whose.is_in("my name is Eva")
    assert not whose.is_in("my name is Ada")
    assert not Subject(key="customer", value="my name is Eva").is_in("my name is Eva")
    assert Subject(key="review", value="fine").is_in("fine", ["text"])


def test_what_was_computed_from_the_samples_goes_and_scores_are_named(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = manifests.load(project.dataset("people") / "raw", "raw").digest
    with atomic.folder(project.state / "packages" / "aa") as fresh:
        facts = {"pipeline": "shop", "data_digest": "d" * 64, "lineage": {"raw_digest": raw}}
        package = manifests.seal(fresh, "package", facts).digest
    reference = project.state / "references" / "a-b"
    other = project.state / "references" / "c-d"
    for folder, digest in ((reference, package), (other, "f" * 64)):
        folder.mkdir(parents=True)
        manifests.seal(folder, "reference", {"package_digest": digest, "data_digest": "e" * 64, "split": "validation"})
    window = project.monitoring("shop") / "2026-11-29T13"
    window.mkdir(parents=True)
    (window / "verdict.json").write_text(json.dumps({"package": package}))
    scores = project.root / "scores" / "monday"
    (scores / "predictions").mkdir(parents=True)
    pd.DataFrame({"row.customer": ["anna", "bert"], "label": ["yes", "no"]}).to_parquet(
        scores / "predictions/a.parquet"
    )
    manifests.seal(scores, "predictions", {})
    lines = project.root / "scores" / "tuesday"
    lines.mkdir()
    (lines / "a.csv").write_text("customer,label\nbert,no\nanna,yes\n")
    (lines / "b.jsonl").write_text('{"customer": "anna"}\n')
    manifests.seal(lines, "predictions", {})
    code, out, err = _run("--subject", "customer=anna", "--yes", capfd=capfd)
    assert code == 0, err
    assert "scores scores/tuesday: 2 rows are of it" in out
    assert "2 references and judged windows: removed" in out
    assert "scores scores/monday: 1 rows are of it" in out
    assert not reference.exists()
    assert not window.exists()
    assert other.is_dir()
    assert scores.is_dir()


def test_a_plan_of_a_dataset_that_was_removed_since_is_finished(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = forget.make(project, ANNA)
    assert plan.datasets
    journal = project.state / "forget" / f"{plan.request}.json"
    atomic.write_text(journal, plan.model_dump_json())
    project.dataset("people").rename(project.root / "elsewhere")
    code, _, err = _run("--subject", "customer=nobody", "--yes", capfd=capfd)
    assert code == 0, err
    assert f".modelyard/forget/{plan.request}.json" in err
    assert "data/people is not here any more" in err
    assert not journal.exists()


def test_an_output_that_cannot_be_read_is_named(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    folder = project.root / "scores" / "monday"
    folder.mkdir(parents=True)
    (folder / "a.parquet").write_bytes(b"PAR1")
    manifests.seal(folder, "predictions", {})
    code, _, err = _run("--subject", "customer=anna", "--dry-run", capfd=capfd)
    assert code != 0
    assert "a.parquet" in err
    assert "Traceback" not in err
