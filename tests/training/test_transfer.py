"""What of a network is trained, when and how fast, looked at after real steps."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from components.contracts.architectures.architecture import TransferSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput, TextOutput, TokensInput
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.identity import digest
from components.models.build import build
from components.training import stage, transfer
from components.training.optimizer import build_optimizer, set_learning_rate
from components.training.sinks import EventStream
from tests.training.prepared_digits import TEXTBOOK, prepare, request

IMAGES = ImageInput(height=8, width=8, channels=1, mean=[0.5], std=[0.5])
RESNET = {"family": "cnn", "name": "resnet", "depth": 14, "width": 4}
ENCODER = {"family": "transformer", "name": "encoder", "depth": 2, "width": 8, "heads": 2, "dropout": 0.0}


def _spec(**policy: Any) -> TransferSpec:
    adapter: TypeAdapter[TransferSpec] = TypeAdapter(TransferSpec)
    return adapter.validate_python(policy)


def _network(model: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    input_spec = TokensInput(vocabulary=9, max_length=7) if model["family"] == "transformer" else IMAGES
    return build(adapter.validate_python(model), input_spec, ClassesOutput(classes=3))


def _steps(network: nn.Module, policy: transfer.Transfer, epochs: int, rate: float = 0.01) -> list[set[str]]:
    """The names of what changes in each epoch of one step."""
    optimizer = build_optimizer(TrainSpec(optimizer="sgd", momentum=0.0, weight_decay=0.0), network, policy.factors())
    generator = torch.Generator().manual_seed(1)
    changed = []
    for epoch in range(epochs):
        policy.begin_epoch(network, epoch)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        images = torch.randint(0, 256, (8, 8, 8, 1), dtype=torch.uint8, generator=generator)
        inputs = (
            (images[:, 0, :7, 0].long() % 9, torch.tensor([7, 3, 1, 5, 2, 7, 6, 4]))
            if _takes_tokens(network)
            else (images,)
        )
        optimizer.zero_grad()
        logits: Tensor = network(*inputs)
        logits.square().mean().backward()  # type: ignore[no-untyped-call]
        set_learning_rate(optimizer, rate)
        optimizer.step()
        changed.append({name for name, value in network.state_dict().items() if not torch.equal(value, before[name])})
    return changed


def _takes_tokens(network: nn.Module) -> bool:
    """Whether it takes tokens."""
    return hasattr(network, "pooling")


def test_blocks_lie_from_the_input_to_the_head() -> None:
    found = transfer.blocks(_network(RESNET))
    assert found[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    firsts = [block[0].rpartition(".conv1")[0] for block in found[1:-1]]
    assert firsts == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1)]
    assert found[-1] == ["linear.weight", "linear.bias"]
    every = [name for block in found for name in block]
    assert sorted(every) == sorted(name for name, _ in _network(RESNET).named_parameters())


def test_the_head_is_what_a_network_says_or_its_last_linear_layer() -> None:
    assert transfer.head_names(_network(RESNET)) == ("linear",)
    assert transfer.head_names(_network(TEXTBOOK | {"hidden": 5})) == ("head.5",)
    assert transfer.head_names(_network(ENCODER)) == ("pooling", "head")


def test_only_the_head_is_trained_and_nothing_below_gathers_statistics() -> None:
    network = _network(RESNET)
    policy = transfer.begin(_spec(policy="head"), network)
    assert _steps(network, policy, 2) == [{"linear.weight", "linear.bias"}] * 2
    assert not network.get_submodule("layer1.0.bn1").training
    assert network.get_submodule("dropout").training


def test_blocks_thaw_from_the_top() -> None:
    network = _network(RESNET)
    policy = transfer.begin(_spec(policy="gradual", epochs_per_block=2), network)
    changed = _steps(network, policy, 16)
    trained = [{name.split(".")[0] for name in names if "running" not in name} for names in changed]
    assert trained[:2] == [{"linear"}] * 2
    assert trained[2:6] == [{"linear", "layer3"}] * 4
    assert "layer3.1.conv1.weight" in changed[2]
    assert "layer3.0.conv1.weight" not in changed[3]
    assert "layer3.0.bn1.running_mean" not in changed[3]
    assert "layer3.0.conv1.weight" in changed[4]
    assert trained[-2:] == [{"linear", "layer1", "layer2", "layer3", "conv1", "bn1"}] * 2


def test_what_lies_deeper_learns_more_slowly() -> None:
    """A step of plain descent is as long as rate times gradient: it shows each weight's rate."""
    lengths = []
    for factor in (1.0, 0.5):
        network = _network(RESNET)
        policy = transfer.begin(_spec(policy="decay", factor=factor), network)
        before = {name: value.detach().clone() for name, value in network.named_parameters()}
        _steps(network, policy, 1)
        lengths.append(
            {name: float((value.detach() - before[name]).norm()) for name, value in network.named_parameters()}
        )
    ratio = {name: lengths[1][name] / lengths[0][name] for name in lengths[0] if lengths[0][name] > 1e-9}
    assert ratio["linear.weight"] == pytest.approx(1.0, rel=1e-3)
    assert ratio["layer3.1.conv2.weight"] == pytest.approx(0.5, rel=1e-3)
    assert ratio["layer3.0.conv1.weight"] == pytest.approx(0.25, rel=1e-3)
    assert ratio["conv1.weight"] == pytest.approx(0.5**7, rel=1e-2)


def test_lora_trains_thin_matrices_and_is_merged_in_the_end() -> None:
    network = _network(ENCODER)
    names = set(network.state_dict())
    tokens, lengths = torch.randint(0, 9, (4, 7)), torch.tensor([7, 3, 1, 5])
    with torch.no_grad():
        untouched = network.eval()(tokens, lengths)
    policy = transfer.begin(_spec(policy="lora", rank=2, alpha=4, targets=["query", "value"]), network)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(tokens, lengths), untouched)
    changed = _steps(network, policy, 3, rate=0.5)
    assert changed[-1] == {name for name in changed[-1] if ".lora_" in name or name.startswith(("head", "pooling"))}
    assert any("attention.query.lora_A" in name for name in changed[-1])
    assert not any("key" in name or "feed_forward" in name for name in changed[-1] if ".lora_" in name)
    with torch.no_grad():
        adapted = network.eval()(tokens, lengths)
    transfer.finish(network)
    assert set(network.state_dict()) == names
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(tokens, lengths), adapted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(adapted, untouched)


def test_lora_beside_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no linear layer matches the targets") as caught:
        transfer.begin(_spec(policy="lora", targets=["nothing"]), _network(ENCODER))
    assert "query" in str(caught.value.expected)


def test_lora_beside_a_layer_that_is_never_called_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    text = TokensInput(vocabulary=9, max_length=7)

    def network() -> nn.Module:
        spec = adapter.validate_python({"family": "rnn", "name": "seq2seq-gru", "width": 8, "embedding": 8})
        return build(spec, text, TextOutput(vocabulary=9, max_length=7, begin=2, end=3, pad=0))

    with pytest.raises(UsageError, match="no linear layer matches"):
        transfer.begin(_spec(policy="lora", targets=["query"]), network())
    with pytest.raises(UsageError, match="without effect") as caught:
        transfer.begin(_spec(policy="lora", targets=["key", "query"]), network())
    assert caught.value.got == "query"
    made = network()
    transfer.begin(_spec(policy="lora", rank=2, alpha=4), made)
    adapted = {name.partition(".lora_A")[0] for name, _ in made.named_parameters() if ".lora_A" in name}
    assert adapted == {"first", "decoder.key"}
    assert "no adapter beside decoder.query, decoder.score" in capsys.readouterr().err


def test_dropout_between_frozen_layers_rests() -> None:
    network = _network(ENCODER | {"dropout": 0.1})
    policy = transfer.begin(_spec(policy="gradual"), network)
    dropouts = {name: module for name, module in network.named_modules() if isinstance(module, nn.Dropout)}
    policy.begin_epoch(network, 0)
    resting = {name for name, module in dropouts.items() if not module.training}
    assert "dropout" in resting  # of the vectors, before the frozen layers
    assert all(name.startswith("layers.") for name in resting - {"dropout"})
    policy.begin_epoch(network, 1)
    assert not network.get_submodule("dropout").training
    policy.begin_epoch(network, 9)
    assert all(module.training for module in dropouts.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "head"},
        {"policy": "gradual", "epochs_per_block": 1},
        {"policy": "decay", "factor": 0.5},
        {"policy": "lora", "rank": 2, "alpha": 4},
    ],
    ids=lambda policy: policy["policy"],
)
def test_a_whole_training_from_pretrained_weights(
    policy: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Digits, started from what was learned on them: little is left to learn, and the lineage says where from."""
    threads = torch.get_num_threads()
    prepare(tmp_path / "prepared")
    model = TEXTBOOK | {"hidden": 24}
    first = request(tmp_path / "prepared", tmp_path / "first", model=model, epochs=16, learning_rate=0.01)
    stage.train(first, EventStream(io.StringIO()))
    weights = tmp_path / "first" / "trained" / "model.safetensors"
    sha256 = digest.of_file(weights)
    start = {"pretrained": f"file:{weights}", "pretrained_sha256": sha256, "transfer": policy}
    settings = {"epochs": 3, "learning_rate": 1e-3, "keep": "last"}  # what the policy did by then
    second = request(tmp_path / "prepared", tmp_path / "second", model=model | start, **settings)
    stage.train(second, EventStream(io.StringIO()))
    torch.set_num_threads(threads)
    trained = tmp_path / "second" / "trained"
    history = json.loads((trained / "history.json").read_bytes())["epochs"]
    before = json.loads((tmp_path / "first" / "trained" / "history.json").read_bytes())["epochs"]
    assert history[0]["validation/accuracy"] > before[0]["validation/accuracy"]
    assert max(row["validation/accuracy"] for row in history) > 0.85
    facts = json.loads((trained / "manifest.json").read_bytes())["facts"]
    assert facts["pretrained"] == {
        "source": f"file:{weights}", "sha256": sha256, "fitted": facts["pretrained"]["fitted"], "new": [], "left": [],
        "normalisation": facts["pretrained"]["normalisation"],
    }  # fmt: skip
    assert facts["lineage"] == {"pretrained": f"file:{weights}", "pretrained_digest": sha256}
    assert "weights loaded" in capsys.readouterr().err
    ours, theirs = (safetensors.torch.load_file(path) for path in (trained / "model.safetensors", weights))
    assert ours.keys() == theirs.keys()
    assert not torch.equal(ours["head.5.weight"], theirs["head.5.weight"])
    kept = torch.equal(ours["blocks.0.0.weight"], theirs["blocks.0.0.weight"])
    assert kept == (policy["policy"] in ("head", "lora", "gradual"))
    assert torch.equal(ours["head.2.weight"], theirs["head.2.weight"]) == (policy["policy"] == "head")
