"""A package is scored on prepared arrays only where they mean to it what they mean to the data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components import tasks
from components.evaluation.test_split import FrozenSplit
from components.gates.scoring import incompatibility
from components.preprocessing.stored import StoredSplit
from components.tasks.forecasting import ForecastingProcessor

SCALED = ForecastingProcessor(look_back=3, horizon=2, quantiles=[0.5], mean=[1.0, 2.0], std=[1.0, 4.0])


def frozen(folder: Path) -> FrozenSplit:
    """A table of two channels with one golden example."""
    (folder / "test").mkdir(parents=True)
    (folder / "golden").mkdir()
    np.save(folder / "test" / "values.npy", np.zeros((9, 2), np.float32))
    (folder / "golden" / "000.csv").write_text("1,2\n3,4\n5,6\n")
    entry = {"file": "000.csv", "id": "a", "media": "text/csv", "truth": ""}
    (folder / "golden" / "index.json").write_text(json.dumps([entry]))
    specs = SCALED.arrays()
    return FrozenSplit(folder, tasks.find("forecasting"), specs, StoredSplit(folder / "test", specs), [], SCALED)


def predictor(folder: Path, **changes: Any) -> Any:
    """The attributes of a predictor that `incompatibility` reads."""
    processor = SCALED.model_copy(update=changes)
    return SimpleNamespace(
        processor=processor, endpoint=processor.endpoint([]), max_pixels=10**6, package=SimpleNamespace(folder=folder)
    )


def test_the_datas_own_processor_is_alike(tmp_path: Path) -> None:
    assert incompatibility(predictor(tmp_path), frozen(tmp_path / "prepared")) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": [1.0, 2.5]}, "its scaler"),
        ({"std": [1.0, 5.0]}, "its scaler"),
        ({"look_back": 4}, "other windows"),
        ({"mean": [1.0], "std": [1.0]}, "wrong shape"),
    ],
)
def test_another_processor_is_said_to_be_another(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in str(incompatibility(predictor(tmp_path, **changes), frozen(tmp_path / "prepared")))


def test_another_tokenizer_is_another_even_if_no_example_shows_it(tmp_path: Path) -> None:
    data = frozen(tmp_path / "prepared")
    (tmp_path / "prepared" / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text('{"words": ["a"]}')
    assert "tokenizer" in str(incompatibility(predictor(tmp_path), data))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert incompatibility(predictor(tmp_path), data) is None
