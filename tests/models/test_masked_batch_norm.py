import torch
from torch import nn

from components.models import masks
from components.models.masked_batch_norm import MaskedBatchNorm


def _pair() -> tuple[MaskedBatchNorm, nn.BatchNorm1d]:
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if name != "num_batches_tracked"})
    return ours, theirs


def test_is_torchs_on_the_real_places_alone_in_training_and_after_it() -> None:
    ours, theirs = _pair()
    for _ in range(3):
        features, lengths = torch.randn(4, 3, 6) * 2 + 1, torch.tensor([6, 1, 3, 2])
        inside = masks.inside(lengths, 6)
        places = features.transpose(1, 2)[inside]  # (12, C)
        found = ours(features, inside[:, None])
        torch.testing.assert_close(found.transpose(1, 2)[inside], theirs(places), atol=1e-5, rtol=1e-5)
        assert not found.transpose(1, 2)[~inside].any()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    found = ours.eval()(features, inside[:, None])
    torch.testing.assert_close(found.transpose(1, 2)[inside], theirs.eval()(places), atol=1e-5, rtol=1e-5)


def test_its_gradients_are_torchs() -> None:
    ours, theirs = _pair()
    features, weights = torch.randn(5, 3, 4, 2, requires_grad=True), torch.randn(5, 3, 4, 2)
    (ours(features, torch.ones(5, 1, 4, 1, dtype=torch.bool)) * weights).sum().backward()
    assert features.grad is not None
    found, features.grad = features.grad, None
    rows = features.movedim(1, -1).reshape(-1, 3)
    (theirs(rows) * weights.movedim(1, -1).reshape(-1, 3)).sum().backward()
    torch.testing.assert_close(found, features.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)
