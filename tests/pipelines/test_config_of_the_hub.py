"""The config.json that gives a network its sizes is looked at before the data of its pipeline is prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError
from flows.pipelines import pretrained

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("content", "error"), [(None, NotFoundError), ('{"model_type": ', CorruptArtifactError)])
def test_a_config_that_is_missing_or_broken_is_refused(
    content: str | None, error: type[ModelyardError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    folder = tmp_path / "bert-base-uncased"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    if content is not None:
        (folder / "config.json").write_text(content)
    spec = located_yaml.read(ROOT / "pipelines" / "bert.yaml", PipelineSpec)
    with pytest.raises(error):
        pretrained.fetch(spec, lambda _: None)
    (folder / "config.json").write_text("{}")
    pretrained.fetch(spec, lambda _: None)
