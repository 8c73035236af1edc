"""The stage on its own: parameters of networks for a dataset; another dataset than that of the request is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.advice import stage
from components.contracts.advice import CountedSteps, ModelSizes, SizesRequest
from components.core.errors import CorruptArtifactError, UsageError
from tests.training.prepared_digits import TEXTBOOK, prepare


def test_parameters_are_counted_for_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = prepare(Path("prepared"), 60, 20, 40)
    models = [{**TEXTBOOK, "width": 4}, {**TEXTBOOK, "width": 8}, {"family": "rnn", "name": "gru"}]
    facts = {
        "prepared": "prepared",
        "data_digest": data.digest,
        "models": models,
        "train": {"batch_size": 16},
        "target": "sizes",
    }
    request = SizesRequest.model_validate(facts)
    Path("sizes.json").write_text(request.model_dump_json())
    stage.main(["sizes.json"])
    sizes = ModelSizes.model_validate_json(Path("sizes/sizes.json").read_text())
    small, large, unfit = sizes.parameters
    assert small is not None
    assert large is not None
    assert 2 < large / small < 4
    assert unfit is None
    products = 4 * 9 * 64 + 8 * 4 * 9 * 16 + 8 * 4 * 10  # two convolutions, of 8x8 and 4x4 positions; the dense layer
    assert sizes.step_cost == CountedSteps(forward_flops=2.0 * products, samples=60, steps_per_epoch=4)
    Path("sizes.json").write_text(request.model_copy(update={"data_digest": "0" * 64}).model_dump_json())
    with pytest.raises(CorruptArtifactError, match="not the data of the request"):
        stage.main(["sizes.json"])
    Path("sizes.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read"):
        stage.main(["sizes.json"])
