"""Each type of encoder against transformers' own outputs, for texts of unequal lengths, before and after the export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from components.contracts.architectures.hub import HubEncoderSpec
from components.contracts.shapes import ClassesOutput, TokenClassesOutput, TokensInput, ValuesOutput
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.models import hub_encoder
from components.models.build import build
from components.models.hub_encoder import HubEncoder
from tests import hub_models
from tests.models.export import Graph


def _spec(folder: Path, **settings: Any) -> HubEncoderSpec:
    document = {"family": "transformer", "name": "hub-encoder", "pretrained": f"folder:{folder}", **settings}
    return HubEncoderSpec.model_validate(document)


def _network(folder: Path, output_spec: Any = None, **settings: Any) -> HubEncoder:
    words = AutoTokenizer.from_pretrained(folder)
    text = TokensInput(vocabulary=len(words), max_length=32, pad=words.pad_token_id)
    network = build(_spec(folder, **settings), text, output_spec or ClassesOutput(classes=3))
    assert isinstance(network, HubEncoder)
    return network.eval()


def _texts(folder: Path) -> tuple[Any, Tensor]:
    batch = AutoTokenizer.from_pretrained(folder)(
        [*hub_models.LINES[:4], "film", ""], padding=True, return_tensors="pt"
    )
    lengths = batch["attention_mask"].sum(dim=1)
    assert len(set(lengths.tolist())) > 3
    return batch, lengths


@pytest.mark.slow
@pytest.mark.parametrize("kind", hub_encoder.SUPPORTED)
def test_every_type_says_what_transformers_says(kind: str, tmp_path: Path) -> None:
    """A saved classifier of either sort, loaded by both; ours as a graph for any batch and length too."""
    every_token = hub_encoder.SUPPORTED.index(kind) % 2 == 1  # one sort a type: the other is below
    _compare(kind, tmp_path, every_token)


@pytest.mark.slow
@pytest.mark.parametrize("kind", hub_encoder.SUPPORTED)
def test_every_type_in_the_other_sort(kind: str, tmp_path: Path) -> None:
    _compare(kind, tmp_path, hub_encoder.SUPPORTED.index(kind) % 2 == 0)


def _compare(kind: str, folder: Path, every_token: bool) -> None:
    auto = AutoModelForTokenClassification if every_token else AutoModelForSequenceClassification
    hub_models.save(folder, kind, auto=auto, num_labels=3)
    theirs = auto.from_pretrained(folder).eval()
    output_spec = TokenClassesOutput(classes=3) if every_token else ClassesOutput(classes=3)
    network = _network(folder, output_spec)
    loaded = network.load_pretrained(folder)
    assert (loaded.new, loaded.left) == ([], [])
    batch, lengths = _texts(folder)
    with torch.inference_mode():
        expected = theirs(**batch).logits
        found = network(batch["input_ids"], lengths)
        assert torch.equal(network.head(network.pooled(batch["input_ids"], lengths)), found)
    graph = Graph(
        network,
        {"tokens": batch["input_ids"][:1, :3], "lengths": torch.tensor([3])},
        {"tokens": (0, 1), "lengths": (0,)},
        (0, 1) if every_token else (0,),
    )
    graph.agrees(batch["input_ids"], lengths)
    graph.agrees(batch["input_ids"][:2, :1], torch.tensor([1, 1]))
    assert expected.std() > 0.1  # random weights that say nothing would hide a mistake
    for row, length in enumerate(lengths.tolist()):
        with torch.inference_mode():
            alone = network(batch["input_ids"][row : row + 1, :length], torch.tensor([length]))[0]
        whole = expected[row, :length] if every_token else expected[row]
        own = found[row, :length] if every_token else found[row]
        torch.testing.assert_close(own, whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(alone, whole, atol=1e-5, rtol=0)


def test_weights_of_a_language_model_in_shards_leave_a_fresh_head(tmp_path: Path) -> None:
    hub_models.save(tmp_path, "bert", shard="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    network = _network(tmp_path)
    before = network.get_parameter("body.classifier.weight").clone()
    loaded = network.load_pretrained(tmp_path)
    assert {name for name in loaded.new if "pooler" not in name} == {"body.classifier.bias", "body.classifier.weight"}
    assert all(name.startswith("cls.") for name in loaded.left)
    assert torch.equal(network.get_parameter("body.classifier.weight"), before)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(network.get_parameter(f"body.{name}"), theirs.get_parameter(name))


def test_a_head_of_another_size_stays_fresh_and_a_body_of_another_is_refused(tmp_path: Path) -> None:
    hub_models.save(tmp_path, "bert", auto=AutoModelForSequenceClassification, num_labels=5)
    loaded = _network(tmp_path).load_pretrained(tmp_path)
    assert "body.classifier.weight" in loaded.new
    assert "body.bert.pooler.dense.weight" in loaded.fitted
    hub_models.config("bert", AutoTokenizer.from_pretrained(tmp_path), intermediate_size=32).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="another shape"):
        _network(tmp_path).load_pretrained(tmp_path)


def test_torch_files_are_read_without_running_code(tmp_path: Path) -> None:
    import pickle

    hub_models.save(tmp_path, "distilbert", auto=AutoModelForSequenceClassification, num_labels=3)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    network = _network(tmp_path)
    assert network.load_pretrained(tmp_path).new == []
    assert torch.equal(network.get_parameter("body.classifier.weight"), theirs.classifier.weight)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Path}, protocol=2))
    with pytest.raises(CorruptArtifactError, match="more than tensors") as caught:
        network.load_pretrained(tmp_path)
    assert "will likely succeed" not in "\n".join(caught.value.lines())  # torch's advice is to run the code
    assert "safetensors" in str(caught.value.next_step)


def test_every_weight_is_trained_and_the_head_is_known(tmp_path: Path) -> None:
    for kind, heads in (
        ("bert", ["body.classifier"]),
        ("distilbert", ["body.pre_classifier", "body.classifier"]),
        ("deberta-v2", ["body.pooler", "body.classifier"]),
        ("modernbert", ["body.head", "body.classifier"]),
    ):
        network = _network(hub_models.save(tmp_path / kind, kind)).train()
        assert list(network.head_names) == heads
        batch, lengths = _texts(tmp_path / kind)
        network(batch["input_ids"], lengths).square().sum().backward()
        assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_a_value_and_a_stated_dropout(tmp_path: Path) -> None:
    hub_models.save(tmp_path, "bert")
    network = _network(tmp_path, ValuesOutput(mean=0.0, std=1.0), dropout=0.0)
    batch, lengths = _texts(tmp_path)
    assert network(batch["input_ids"], lengths).shape == (len(lengths), 1)
    again = network.train()(batch["input_ids"], lengths)
    torch.testing.assert_close(again, network.eval()(batch["input_ids"], lengths))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    folder = hub_models.save(tmp_path / "roberta", "roberta")
    rows = len(AutoTokenizer.from_pretrained(folder))
    with pytest.raises(UsageError, match="longer than the encoder allows") as caught:
        build(_spec(folder), TokensInput(vocabulary=rows, max_length=47, pad=1), ClassesOutput(classes=2))
    assert caught.value.expected == "at most 46"  # 48 positions, of which two come before the first token's
    build(_spec(folder), TokensInput(vocabulary=rows, max_length=46, pad=1), ClassesOutput(classes=2))
    with pytest.raises(UsageError, match="tokens of the dataset") as caught:
        build(_spec(folder), TokensInput(vocabulary=rows + 1, max_length=8), ClassesOutput(classes=2))
    assert "kind: pretrained" in str(caught.value.next_step)
    (tmp_path / "config.json").write_text('{"model_type": "fnet"}')
    with pytest.raises(UsageError, match="not supported") as caught:
        build(_spec(tmp_path), TokensInput(vocabulary=9, max_length=8), ClassesOutput(classes=2))
    assert "modernbert" in str(caught.value.expected)
    with pytest.raises(NotFoundError, match=r"config\.json is missing"):
        build(_spec(tmp_path / "no"), TokensInput(vocabulary=9, max_length=8), ClassesOutput(classes=2))
    with pytest.raises(ValidationError, match="give pretrained"):
        HubEncoderSpec.model_validate({"family": "transformer", "name": "hub-encoder"})


@pytest.mark.parametrize(
    "change", [{"hidden_size": 33}, {"num_attention_heads": 0}, {"hidden_act": "nope"}, {"vocab_size": "many"}]
)
def test_a_config_that_no_network_can_be_built_of_is_an_error_of_the_file(
    change: dict[str, Any], tmp_path: Path
) -> None:
    folder = hub_models.save(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CorruptArtifactError, match="cannot be") as caught:
        build(_spec(folder), TokensInput(vocabulary=8, max_length=32), ClassesOutput(classes=2))
    assert str(folder) in str(caught.value.where)
