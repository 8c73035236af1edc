"""The prediction log of a worker: ids, rows, roles, what is dropped, redaction, feedback, a kill."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.contracts.prediction_log import FOLDER, PREDICTION_HEADER, Feedback, LogSettings, answered_at, hours
from components.contracts.serving_spec import SlotSpec
from components.identity.package import Package
from components.inference import embedding_summary
from components.inference.predictor import Predictor
from components.monitoring import log_reader
from serving import log_file, prediction_log
from serving.prediction_log import PredictionLog, new_id
from tests import small_package
from tests.serving import packages
from tests.serving.service import Service, challenger, eventually, running

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlotSpec]:
    folder = tmp_path_factory.mktemp("bundles")
    return {str(seed): small_package.bundle(folder / str(seed), str(seed), seed=seed) for seed in (1, 2)}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def service(slots: dict[str, SlotSpec], tmp_path: Path, log: Path) -> Iterator[Service]:
    with running(Path(slots["1"].bundle), tmp_path / "service") as service:
        yield service


def logged(log: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for hour in hours(log):
        rows += log_reader.read(log / hour).predictions.to_pylist()
    return rows


def test_every_answer_has_an_id_and_a_line_with_its_row(service: Service, log: Path) -> None:
    answers = [service.ask(small_package.image(seed)) for seed in range(5)]
    pair = [np.asarray(Image.open(io.BytesIO(small_package.image(seed)))).tolist() for seed in (7, 8)]
    answers.append(service.client.post("/predict", json={"pixels": pair}))
    ids = [answer.headers[PREDICTION_HEADER] for answer in answers]
    assert ids == [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 6
    assert all(ID.fullmatch(one) and abs(answered_at(one) - time.time()) < 60 for one in ids)
    eventually(lambda: len(logged(log)) == 7)
    rows = {(row["id"], row["index"]): row for row in logged(log)}
    for seed, answer in enumerate(answers[:5]):
        row, pixels = (
            rows[answer.json()["id"], 0],
            np.asarray(Image.open(io.BytesIO(small_package.image(seed)))),
        )
        assert json.loads(row["output"]) == answer.json()["predictions"][0]
        assert (row["model"], row["version"], row["role"]) == ("sample", "1", "champion")
        assert row["package"] == answer.json()["model"]["package"]
        assert (row["prepared.minimum"], row["prepared.maximum"]) == (pixels.min(), pixels.max())
        assert row["prepared.mean"] == pytest.approx(pixels.mean())
        assert 0 < row["latency_ms"] < 10_000
        assert not any("class_number" in name or name == "input" for name in row)
    assert [rows[ids[5], place]["output"] for place in (0, 1)] == [
        json.dumps(one) for one in answers[5].json()["predictions"]
    ]
    refused = service.client.post("/predict", content=b"no", headers={"content-type": "image/png"})
    assert refused.status_code == 422
    assert PREDICTION_HEADER not in refused.headers


def test_the_row_of_an_answer_sums_up_the_embedding_of_its_sample(tmp_path: Path, log: Path) -> None:
    bundle = small_package.bundle(tmp_path / "bundle", "1", embeds=True)
    images = [small_package.image(seed) for seed in range(3)]
    with running(Path(bundle.bundle), tmp_path / "service") as service:
        alone = service.ask(images[0]).json()
        pair = [base64.b64encode(one).decode() for one in images[1:]]
        both = service.client.post("/predict", json={"images": pair}).json()
        eventually(lambda: len(logged(log)) == 3)
    rows = {(row["id"], row["index"]): row for row in logged(log)}
    predictor = Predictor(Package.open(Path(bundle.bundle) / "package"))
    vectors = predictor.embed(predictor.read(images))
    expected = embedding_summary.columns("embedding.", vectors)
    assert expected["embedding.norm"] == pytest.approx(np.linalg.norm(vectors, axis=1).tolist())
    for place, key in enumerate([(alone["id"], 0), (both["id"], 0), (both["id"], 1)]):
        found = {name: value for name, value in rows[key].items() if name.startswith("embedding.")}
        assert found == {name: pytest.approx(values[place], rel=1e-5) for name, values in expected.items()}


def test_other_protocols_have_the_id_too(service: Service, log: Path) -> None:
    image = base64.b64encode(small_package.image(3)).decode()
    answered = service.client.post("/invocations", json={"dataframe_records": [{"image": image}]})
    assert answered.status_code == 200, answered.text
    eventually(lambda: [row["id"] for row in logged(log)] == [answered.headers[PREDICTION_HEADER]])


def test_a_shadow_is_logged_beside_the_champion(service: Service, slots: dict[str, SlotSpec], log: Path) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 0))
    answer = service.ask()
    eventually(lambda: len(logged(log)) == 2)
    found = {row["role"]: row for row in logged(log)}
    assert {row["id"] for row in found.values()} == {answer.json()["id"]}
    assert {role: row["version"] for role, row in found.items()} == {"champion": "1", "shadow": "2"}
    assert found["shadow"]["prepared.mean"] == found["champion"]["prepared.mean"]


def test_feedback_is_kept_and_what_is_none_is_refused(service: Service, log: Path) -> None:
    answer = service.ask()
    post = service.client.post
    one = {"id": answer.json()["id"], "truth": "dark"}
    assert post("/feedback", json=one).status_code == 202
    assert post("/feedback", json=[{**one, "index": 0, "truth": "light", "at": 1.5}] * 2).json() == {"accepted": 2}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ({"json": []}, 422), ({"json": [one] * 1001}, 422), ({"json": {**one, "id": "../../etc"}}, 422),
        ({"json": {**one, "index": -1}}, 422), ({"json": {**one, "more": 1}}, 422), ({"json": {"id": one["id"]}}, 422),
        ({"json": 7}, 422), ({"json": {**one, "index": 2**31}}, 422), ({"json": {**one, "at": 1e308}}, 422),
        ({"json": {**one, "at": 1000 * time.time()}}, 422),
    ]  # fmt: skip
    for request, status in wrong:
        assert post("/feedback", **request).status_code == status, request
    (hour,) = hours(log)
    told = log_reader.read(log / hour).feedback.to_pylist()
    assert [row["truth"] for row in told] == ['"dark"', '"light"', '"light"']
    assert all(abs(row["arrived"] - time.time()) < 60 for row in told)


def test_a_truth_that_is_no_class_of_the_champion_is_kept_and_said(service: Service, log: Path) -> None:
    one = {"id": service.ask().json()["id"]}
    for truth, expected in (
        ("Dark", "'Dark' is no class of this version; the nearest is 'dark'"),
        ([], "another kind"),
    ):
        answer = service.client.post("/feedback", json={**one, "truth": truth})
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert expected in answer.json()["notes"][0]
        assert "known classes: " in answer.json()["notes"][1]
    many = service.client.post("/feedback", json=[{**one, "truth": f"no class {number}"} for number in range(15)])
    assert (many.status_code, many.json()["accepted"]) == (202, 15)
    assert many.json()["notes"][10] == "5 more truths were not looked at"
    (hour,) = hours(log)
    told = [row["truth"] for row in log_reader.read(log / hour).feedback.to_pylist()]
    assert (told[:2], len(told)) == (['"Dark"', "[]"], 17)


def test_without_a_folder_nothing_is_logged_and_feedback_says_so(slots: dict[str, SlotSpec], tmp_path: Path) -> None:
    with running(Path(slots["1"].bundle), tmp_path / "service") as service:
        assert ID.fullmatch(service.ask().json()["id"])
        refused = service.client.post("/feedback", json={"id": new_id(), "truth": 1})
    assert refused.status_code == 404
    assert FOLDER in refused.json()["expected"]


class _Slot:
    """What the log reads of a slot, of a real package."""

    def __init__(self, service: Service) -> None:
        slot = service.worker.slot_manager.current.champion
        assert slot is not None
        self.role, self.about, self.loaded = slot.role, slot.about, slot.loaded


def test_what_comes_while_the_queue_is_full_is_counted(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "MOST_ANSWERS", 3)
    monkeypatch.setattr(prediction_log, "FLUSH_SECONDS", 3600)
    log = PredictionLog(tmp_path / "full", LogSettings())
    slot: Any = _Slot(service)
    for _ in range(5):
        log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    log.stop()
    (hour,) = hours(tmp_path / "full")
    part = log_reader.read(tmp_path / "full" / hour)
    assert (part.predictions.num_rows, part.dropped) == (3, 2)


def test_what_waits_is_counted_in_bytes_of_arrays_and_given_back_when_written(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file may be a large picture; and a queue that is never empty must not fill up with what was written."""
    monkeypatch.setattr(prediction_log, "MOST_BYTES", 15_000)
    monkeypatch.setattr(prediction_log, "FLUSH_SECONDS", 3600)
    log = PredictionLog(tmp_path / "bytes", LogSettings())
    slot: Any = _Slot(service)
    large = [{"images": np.zeros((100, 100, 1), np.uint8)}]
    for _ in range(3):  # one of 10,005 bytes fits
        log.offer(slot, new_id(), [b"small"], large, [{"label": "dark"}], 0.001, size=5)
    assert (log._answers, log._refused) == (1, 2)
    log._flush()
    assert (log._answers, log._bytes) == (0, 0)
    log.offer(slot, new_id(), [b"small"], large, [{"label": "dark"}], 0.001, size=5)
    assert log._answers == 1
    log.stop()


def test_a_count_of_dropped_requests_is_told_again_if_its_block_could_not_be_written(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "FLUSH_SECONDS", 3600)
    log = PredictionLog(tmp_path / "log", LogSettings())
    slot: Any = _Slot(service)
    monkeypatch.setattr(prediction_log, "MOST_ANSWERS", 1)
    for _ in range(3):
        log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    monkeypatch.setattr(log_file, "LEAST_FREE_BYTES", 1 << 62)  # as on a full disk
    log._flush()
    assert not hours(tmp_path / "log") or not list((tmp_path / "log").rglob("*.jsonl"))
    monkeypatch.setattr(log_file, "LEAST_FREE_BYTES", 0)
    log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    log.stop()
    (hour,) = hours(tmp_path / "log")
    part = log_reader.read(tmp_path / "log" / hour)
    assert (part.predictions.num_rows, part.dropped) == (1, 3)


def test_neither_answers_nor_feedback_fill_the_disk(
    service: Service, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on the machine may ask, and tell truths of ids that he makes up."""
    monkeypatch.setattr(log_file, "LEAST_FREE_BYTES", 1 << 62)
    answer = service.ask()
    assert answer.status_code == 200
    refused = service.client.post("/feedback", json={"id": answer.json()["id"], "truth": "x"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert logged(log) == []


def test_golden_checks_of_a_release_are_no_answers(service: Service, slots: dict[str, SlotSpec], log: Path) -> None:
    service.order(champion=slots["1"], staged=slots["2"])
    assert service.answered_by(want="2") == "2"
    service.ask()
    eventually(lambda: len(logged(log)) == 1)
    assert [row["role"] for row in logged(log)] == ["champion"]


def test_a_disk_that_refuses_is_no_fault_of_the_service(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "_RETRY_SECONDS", 0.0)
    (tmp_path / "blocked").write_text("a file, no folder")
    log = PredictionLog(tmp_path / "blocked", LogSettings())
    slot: Any = _Slot(service)
    log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    eventually(lambda: not log._answers and log._failed == 1)
    (tmp_path / "blocked").unlink()
    log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    log.stop()
    (hour,) = hours(tmp_path / "blocked")
    part = log_reader.read(tmp_path / "blocked" / hour)
    assert (part.predictions.num_rows, part.dropped) == (1, 1)


def test_inputs_are_kept_only_on_demand_and_without_what_is_redacted(tmp_path: Path, log: Path) -> None:
    slot = packages.table(tmp_path / "bundle")
    settings = json.loads((tmp_path / "bundle/serving.json").read_text())
    settings["log"] = {"inputs": True, "redact": ["town", r"\d+\.5"]}
    (tmp_path / "bundle/serving.json").write_text(json.dumps(settings))
    with running(Path(slot.bundle), None) as service:
        answer = service.client.post("/predict", json={"rows": packages.ROWS})
        assert answer.status_code == 200, answer.text
        eventually(lambda: len(logged(log)) == 3)
    rows = logged(log)
    kept = [json.loads(row["input"]) for row in rows]
    assert [one["town"] for one in kept] == ["[redacted]"] * 3
    assert [one["age"] for one in kept] == [30, 51.5, 42]  # patterns are for texts
    assert [row["raw.row.age"] for row in rows] == [30, 51.5, 42]
    assert [row["prepared.missing_values"] for row in rows] == [0, 1, 1]


def test_a_share_is_drawn(service: Service, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "share", LogSettings(share=0.3))
    slot: Any = _Slot(service)
    for _ in range(2000):
        log.offer(slot, new_id(), [b""], None, [{"label": "dark"}], 0.001)
    log.stop()
    (hour,) = hours(tmp_path / "share")
    assert 500 < log_reader.read(tmp_path / "share" / hour).predictions.num_rows < 700


WRITER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from components.contracts.prediction_log import LogSettings
from serving.prediction_log import PredictionLog, new_id
log = PredictionLog(Path(sys.argv[1]), LogSettings())
slot = SimpleNamespace(role="champion", about={"name": "m", "version": "1", "package": "p"})
while True:
    log.offer(slot, new_id(), [b""], None, [{"label": "dark", "at": time.time()}], 0.001)
    print(time.time(), flush=True)
    time.sleep(0.0005)
"""


@pytest.mark.slow
def test_a_killed_process_loses_less_than_a_second_and_tears_nothing_that_matters(tmp_path: Path) -> None:
    for round_ in range(3):
        folder = tmp_path / str(round_)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            begin = time.monotonic()
            while time.monotonic() < begin + 0.8 + 0.13 * round_:
                lines.append(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
            last = float([line for line in lines if line.endswith("\n")][-1])
        rows = [json.loads(row["output"])["at"] for row in logged(folder)]
        assert last - max(rows) < 1.0
        assert len(rows) > 100


def test_an_id_that_is_none_is_refused() -> None:
    for text in ("", "x", "0" * 25, f"{'0' * 8}-{'g' * 16}", f"{new_id()}\n"):
        with pytest.raises(ValueError, match="prediction id"):
            Feedback(id=text, truth=1)
