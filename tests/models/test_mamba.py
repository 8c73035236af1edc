from typing import Any

import pytest
import torch

from components.contracts.architectures.text import MambaSpec
from components.contracts.shapes import ClassesOutput, NextTokenOutput, TokensInput
from components.models.build import build
from components.models.mamba import Mamba, looped, scan
from tests.models.export import padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)


def _network(output_spec: ClassesOutput | NextTokenOutput, **settings: Any) -> Mamba:
    torch.manual_seed(0)
    sizes = {"depth": 2, "width": 8, "state": 4, **settings}
    config = MambaSpec.model_validate({"family": "state-space", "name": "mamba", **sizes})
    network = build(config, TEXT, output_spec)
    assert isinstance(network, Mamba)
    return network.eval()


def _tokens(rows: int = 4) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_of_classes_padding_changes_nothing_and_the_graph_agrees(pooling: str) -> None:
    network = _network(ClassesOutput(classes=3), pooling=pooling)
    padding_changes_nothing(network, _tokens())
    sequences_agree(network, _tokens())


def test_of_the_next_token_padding_changes_nothing_and_the_graph_agrees() -> None:
    network = _network(NextTokenOutput(vocabulary=30))
    padding_changes_nothing(network, _tokens(), every_place=True)
    sequences_agree(network, _tokens(), (0, 1))


def test_is_that_of_transformers_with_the_same_weights() -> None:
    from transformers import MambaForCausalLM

    network = _network(NextTokenOutput(vocabulary=30), window=3, expand=3)
    theirs = MambaForCausalLM(network.backbone.config).eval()
    theirs.backbone.load_state_dict(network.backbone.state_dict())
    expected = theirs(input_ids=_tokens()).logits
    torch.testing.assert_close(network(_tokens(), torch.full((4,), 12)), expected, atol=1e-5, rtol=1e-5)


def test_the_loop_for_the_exporter_says_what_transformers_layers_say() -> None:
    backbone = _network(ClassesOutput(classes=3), window=3, expand=3).backbone
    expected = backbone(input_ids=_tokens(), use_cache=False).last_hidden_state
    torch.testing.assert_close(looped(backbone, _tokens()), expected, atol=1e-5, rtol=1e-5)


def test_the_scan_is_the_papers_recurrence() -> None:
    """h_t = A_t h_t-1 + B_t x_t, y_t = C_t h_t."""
    decay, written, read = torch.rand(1, 1, 3, 2), torch.randn(1, 1, 3, 2), torch.randn(1, 3, 2)
    state = [0.0, 0.0]
    for index in range(3):
        state = [decay[0, 0, index, part].item() * state[part] + written[0, 0, index, part].item() for part in range(2)]
        expected = sum(state[part] * read[0, index, part].item() for part in range(2))
        found, _ = scan(decay, written, read, torch.zeros(1, 1, 2))
        assert abs(found[0, 0, index].item() - expected) < 1e-5
