"""Real trainings on parts of the digits, measured and put together into an advice."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from components.advice import stage
from components.contracts.advice import Advice, Experiment, ReportRequest, SizesRequest
from components.core.errors import CorruptArtifactError
from components.identity import manifest
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import TEXTBOOK, prepare, request

pytestmark = pytest.mark.slow


def test_an_advice_of_real_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = prepare(Path("prepared"), 160, 200, 40)
    experiments = []
    for number, (samples, width) in enumerate([(None, 6), (40, 6), (80, 6), (None, 3)]):
        own = request(
            Path("prepared"), Path(f"run{number}"), epochs=2, model={**TEXTBOOK, "depth": 1, "width": width},
            **({} if samples is None else {"samples": samples}),
        ).model_copy(update={"train_fingerprint": f"{number:064x}"})  # fmt: skip
        training.train(own, EventStream(io.StringIO()))
        facts = manifest.load(Path(own.run_folder) / "trained", "trained").facts
        experiments.append(
            Experiment(
                name=f"number {number}",
                curves=["data"] if samples else ["model"] if number else ["data", "model", "time"],
                is_base=number == 0, seed=0, trained=f"run{number}/trained", samples=facts.get("samples", 160),
                parameters=facts["parameters"], steps=1.0, epochs=2, kept_epoch=facts["kept_epoch"], seconds=2.0,
            )
        )  # fmt: skip
    document = ReportRequest(
        pipeline="digits", dataset="digits", prepared="prepared", data_digest=data.digest, scoring="a", known="known",
        target="report", shortened=None, experiments=experiments, left_out={"other <sizes>": "why"},
        candidates={"cnn resnet": 10},
    )  # fmt: skip
    Path("request.json").write_text(document.model_dump_json())
    stage.main(["request.json"])
    advice = Advice.model_validate_json(Path("report/advice.json").read_bytes())
    data_lever, model_lever, time_lever = advice.levers
    assert data_lever.law is not None
    assert data_lever.predicted is not None
    assert data_lever.hindcast is None  # of two sizes
    assert data_lever.predicted.lower <= data_lever.predicted.value <= data_lever.predicted.upper
    assert model_lever.reason == "2 sizes were measured; a law with three parameters needs 3"
    assert time_lever.reason == "1 size was measured; a law with three parameters needs 3"
    assert "nothing is known of twice the parameters and twice the steps" in advice.sentence
    for one in advice.measurements:
        history = json.loads((Path(one.trained) / "history.json").read_text())["epochs"]
        assert history[one.kept_epoch - 1]["validation/accuracy"] == pytest.approx(one.quality.value, abs=1e-6)
        assert 0 < one.deviation < (one.quality.upper - one.quality.lower)
    assert Path("report/plot.png").read_bytes().startswith(b"\x89PNG")
    page = Path("report/report.html").read_text()
    assert "other &lt;sizes&gt;" in page
    assert "cnn resnet" in page

    models = [{**TEXTBOOK, "width": width} for width in (4, 8)]
    sizes = SizesRequest.model_validate(
        {"prepared": "prepared", "data_digest": data.digest, "models": [*models, {"family": "rnn", "name": "gru"}],
         "target": "sizes"}
    )  # fmt: skip
    Path("sizes.json").write_text(sizes.model_dump_json())
    stage.main(["sizes.json"])
    small, large, unfit = json.loads(Path("sizes/parameters.json").read_text())
    assert 2 < large / small < 4
    assert unfit is None
    Path("sizes.json").write_text(sizes.model_copy(update={"data_digest": "0" * 64}).model_dump_json())
    with pytest.raises(CorruptArtifactError, match="not the data of the request"):
        stage.main(["sizes.json"])
