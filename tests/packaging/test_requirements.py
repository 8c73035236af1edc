"""What a bundle installs: pinned, closed, without what training needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import ServingError
from components.packaging import requirements

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"


def test_the_requirements_are_pinned_and_light() -> None:
    found = {line.split("==")[0] for line in requirements.pinned(LOCK, ("pillow",))}
    assert {"bentoml", "onnxruntime", "numpy", "pillow", "pydantic", "starlette", "uvicorn"} <= found
    assert not found & {"torch", "mlflow", "prefect", "dvc", "great-expectations", "pandas", "scikit-learn"}


def test_a_task_brings_its_own() -> None:
    plain, text = (requirements.pinned(LOCK, libraries) for libraries in ((), ("tokenizers",)))
    added = {line.split("==")[0] for line in text} - {line.split("==")[0] for line in plain}
    assert "tokenizers" in added
    assert not any(line.startswith(("pillow", "torch", "transformers")) for line in text)


def test_they_are_the_locks_own_versions() -> None:
    locked = requirements.locked(LOCK)
    for line in requirements.pinned(LOCK, ("pillow",)):
        name, _, version = line.partition("==")
        assert locked[name] == version


def test_what_is_not_locked_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("\n".join(line for line in LOCK.read_text().splitlines() if not line.startswith("onnxruntime")))
    with pytest.raises(ServingError) as caught:
        requirements.pinned(lock, ())
    assert caught.value.got == "onnxruntime"


def test_for_cuda_there_is_a_build_of_its_own_which_is_not_pinned() -> None:
    lines = ["numpy==2.4.0", "onnxruntime==1.32.0", "orjson==3.11.0"]
    assert requirements.for_device(lines, "auto") == requirements.for_device(lines, "cpu") == lines
    cuda = requirements.for_device(lines, "cuda")
    assert cuda == ["numpy==2.4.0", "onnxruntime-gpu[cuda,cudnn]>=1.30,<2", "orjson==3.11.0"]
    assert requirements.unpinned(cuda) == ["onnxruntime-gpu[cuda,cudnn]>=1.30,<2"]
    assert requirements.unpinned(lines) == []
