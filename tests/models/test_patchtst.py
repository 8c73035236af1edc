from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.nn import functional

from components.contracts.architectures.series import PatchTstSpec
from components.contracts.shapes import ForecastOutput, SeriesInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.patchtst import PatchTst
from tests.models.export import Graph

PLAIN = SeriesInput(channels=2, max_length=36, mean=[0.0, 0.0], std=[1.0, 1.0], fixed=True)
SCALED = SeriesInput(channels=2, max_length=36, mean=[5.0, -3.0], std=[2.0, 0.5], fixed=True)


def _network(input_spec: SeriesInput = SCALED, quantiles: int = 1, **settings: Any) -> PatchTst:
    torch.manual_seed(0)
    sizes = {"patch": 8, "stride": 4, "depth": 2, "width": 12, "heads": 3, "inner": 20}
    config = PatchTstSpec.model_validate({"family": "transformer", "name": "patchtst", **sizes, **settings})
    levels = [(index + 1) / (quantiles + 1) for index in range(quantiles)]
    network = build(config, input_spec, ForecastOutput(horizon=5, channels=2, quantiles=levels))
    assert isinstance(network, PatchTst)
    return network.eval()


def _values(rows: int = 3) -> torch.Tensor:
    return torch.randn(rows, 36, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalisation", ["batch", "layer"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_is_that_of_transformers_with_the_same_weights(
    normalisation: Literal["batch", "layer"], norm: Literal["pre", "post"]
) -> None:
    from transformers import PatchTSTConfig, PatchTSTForPrediction

    ours = _network(PLAIN, normalisation=normalisation, norm=norm, instance_norm=False)
    for name, value in [*ours.named_parameters(), *ours.named_buffers()]:
        if "running" in name or "norm.weight" in name:
            nn.init.uniform_(value, 0.5, 2.0)
    config = PatchTSTConfig(
        num_input_channels=2, context_length=40, patch_length=8, patch_stride=4, num_hidden_layers=2, d_model=12,
        num_attention_heads=3, ffn_dim=20, prediction_length=5, norm_type=f"{normalisation}norm",
        pre_norm=norm == "pre", scaling=None, positional_encoding_type="random", pooling_type=None, loss="mse",
    )  # fmt: skip
    theirs = PatchTSTForPrediction(config).eval()
    names = {
        "embedding.": "model.encoder.embedder.input_embedding.",
        "positions.table": "model.encoder.positional_encoder.position_enc",
        "layers.": "model.encoder.layers.",
        "attention.query": "self_attn.q_proj",
        "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj",
        "attention.output": "self_attn.out_proj",
        "attention_norm": "norm_sublayer1" + (".batchnorm" if normalisation == "batch" else ""),
        "feed_forward_norm": "norm_sublayer3" + (".batchnorm" if normalisation == "batch" else ""),
        "feed_forward.": "ff.",
        "head.": "head.projection.",
    }
    state = {}
    for name, value in ours.state_dict().items():
        if not name.startswith("standardise"):
            for mine, other in names.items():
                name = name.replace(mine, other)
            state[name] = value
    theirs.load_state_dict(state)
    # Theirs fills nothing up at the end; the paper, and ours, repeat the last value for one stride.
    padded = functional.pad(_values().transpose(1, 2), (0, 4), mode="replicate").transpose(1, 2)
    expected = theirs(past_values=padded).prediction_outputs  # (N, horizon, C)
    torch.testing.assert_close(ours(_values())[..., 0], expected, atol=1e-5, rtol=1e-5)


def test_of_etth1_it_has_as_many_patches_as_the_paper_says() -> None:
    config = PatchTstSpec(family="transformer", name="patchtst")
    etth1 = SeriesInput(channels=7, max_length=336, mean=[0.0] * 7, std=[1.0] * 7, fixed=True)
    network = build(config, etth1, ForecastOutput(horizon=96, channels=7, quantiles=[0.5]))
    assert network.get_parameter("positions.table").shape == (42, 16)  # PatchTST/42
    assert network(torch.zeros(2, 336, 7)).shape == (2, 96, 7, 1)


def test_channels_know_nothing_of_each_other() -> None:
    network, past = _network(), _values()
    changed = past.clone()
    changed[..., 1] += torch.randn(3, 36)
    torch.testing.assert_close(network(changed)[:, :, 0], network(past)[:, :, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(network(changed)[:, :, 1], network(past)[:, :, 1], atol=1e-3)


def test_it_follows_the_level_and_the_spread_of_its_series() -> None:
    torch.testing.assert_close(_network()(_values() * 3 + 50), _network()(_values()) * 3 + 50, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("instance_norm", [True, False])
def test_quantiles_and_the_graph(instance_norm: bool) -> None:
    network = _network(quantiles=3, instance_norm=instance_norm)
    assert network(_values()).shape == (3, 5, 2, 3)
    Graph(network, {"past": _values(1)}, {"past": (0,)}).agrees(_values(4))


def test_a_patch_longer_than_the_series_is_refused() -> None:
    with pytest.raises(UsageError, match="a patch is longer") as caught:
        _network(patch=37)
    assert caught.value.where == "model.patch"
