"""Every objective against the same thing computed one by one, in plain numpy or by torch on samples without padding.

Legend: N batch, T length, K classes, V vocabulary.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, ForecastOutput, ImageInput, TokensInput
from components.contracts.train_spec import TrainSpec
from components.core.errors import NotFoundError, UsageError
from components.preprocessing.batch import collate
from components.preprocessing.noise_schedule import alphas_cumprod
from components.training.batches import Batch
from components.training.objectives.classification import ClassificationObjective
from components.training.objectives.detection import DetectionObjective
from components.training.objectives.diffusion import DiffusionObjective
from components.training.objectives.forecasting import ForecastingObjective, pinball
from components.training.objectives.next_token import NextTokenObjective
from components.training.objectives.objective import (
    Objective,
    StepResult,
    open_objective,
    selection,
    training_split,
)
from components.training.objectives.token_classification import TokenClassificationObjective
from components.training.objectives.translation import TranslationObjective
from components.training.prepared import Prepared
from tests.evaluation.stub_package import stored

VOCABULARY = 11
TOKENS = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=7)  # 7 is a token like any other


def _prepared(inputs: tuple[str, ...], **more: Any) -> Prepared:
    input_spec = more.pop("input_spec", TokensInput(vocabulary=VOCABULARY, max_length=9))
    methods: dict[str, Any] = {"output_spec": lambda: ClassesOutput(classes=2), **more.pop("processor", {})}
    processor = SimpleNamespace(inputs=lambda: inputs, input_spec=lambda: input_spec, **methods)
    return cast(Prepared, SimpleNamespace(processor=processor, task=SimpleNamespace(name="a-task"), **more))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _texts(seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [{"tokens": rng.integers(0, VOCABULARY, size)} for size in (5, 1, 9, 2)]


def _batch(specs: list[ArraySpec], samples: list[dict[str, Any]]) -> Batch:
    return {name: torch.from_numpy(array) for name, array in collate(specs, samples).items()}


class _Toy(nn.Module):
    """Logits of each token from its number alone."""

    def __init__(self, classes: int = VOCABULARY) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(VOCABULARY, classes)

    def forward(self, tokens: Tensor, *rest: Tensor) -> Tensor:
        logits: Tensor = self.table(tokens)
        return logits


def _values(step: StepResult) -> tuple[float, float, int]:
    return step.loss.item(), float(step.score_sum), int(step.count)


def test_classification_is_cross_entropy_and_right_answers() -> None:
    labels = torch.tensor([0, 2, 1, 2])
    logits = torch.randn(4, 3, generator=_generator())
    prepared = _prepared(
        ("images",), classes=["a", "b", "c"], train=SimpleNamespace(all=lambda _: np.array([0, 0, 0, 1, 1, 2]))
    )
    spec = TrainSpec(class_weights="balanced", label_smoothing=0.1)
    objective = ClassificationObjective(spec, prepared)
    batch = {"images": logits, "labels": labels}
    weights = torch.tensor([6 / 9, 1.0, 2.0])
    found = objective.step(lambda images: images, batch, _generator(), training=True)
    expected = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=0.1)
    assert found.loss == pytest.approx(expected.item())
    plain = objective.step(lambda images: images, batch, _generator(), training=False)
    right = sum(int(row.argmax() == label) for row, label in zip(logits, labels, strict=True))
    assert _values(plain) == (pytest.approx(functional.cross_entropy(logits, labels).item()), right, 4)


def test_token_classification_leaves_out_padding_and_tokens_without_a_tag() -> None:
    tags = ArraySpec(name="tags", type="int64", shape=(), layout="ragged", pad=0)
    samples = _texts()
    rng = np.random.default_rng(1)
    for sample in samples:
        sample["tags"] = rng.integers(0, 3, len(sample["tokens"]))
    samples[2]["tags"][[0, 4]] = -100
    train = SimpleNamespace(all=lambda _: np.array([0, 0, 0, 0, 1, 2, -100, -100]))
    objective = TokenClassificationObjective(
        TrainSpec(class_weights="balanced"),
        _prepared(("tokens", "tokens_lengths"), classes=["O", "B", "I"], train=train),
    )
    toy = _Toy(3)
    found = objective.step(toy, _batch([TOKENS, tags], samples), _generator(), training=False)
    weighted = objective.step(toy, _batch([TOKENS, tags], samples), _generator(), training=True)
    losses, weights, right = [], [], 0
    for sample in samples:
        for token, tag in zip(sample["tokens"], sample["tags"], strict=True):
            if tag != -100:
                row = toy(torch.tensor([token]))[0]
                losses.append(-row.log_softmax(0)[tag].item())
                weights.append([6 / 12, 2.0, 2.0][tag])
                right += int(row.argmax() == tag)
    assert len(losses) == 15
    assert _values(found) == (pytest.approx(np.mean(losses), rel=1e-5), right, 15)
    assert weighted.loss.item() == pytest.approx(np.average(losses, weights=weights), rel=1e-5)


def test_the_epoch_of_the_best_entities_is_kept_and_words_past_the_cut_count() -> None:
    names = ("tags", "word_tags", "word_tokens")
    specs = [ArraySpec(name=name, type="int64", shape=(), layout="ragged", pad=-100) for name in names]
    classes = ["B-a", "I-a", "O"]
    toy = _Toy(3)
    with torch.no_grad():
        toy.table.weight.copy_(torch.eye(3).repeat(4, 1)[:VOCABULARY])  # token t has the tag t % 3
    samples = [  # found: (0, 2) and (3, 4); true: (0, 2), (2, 4) and one past the cut
        {"tokens": [0, 1, 2, 0], "tags": [0, 1, 0, 1], "word_tags": [0, 1, 0, 1, 0], "word_tokens": [0, 1, 2, 3, -1]},
        {"tokens": [2], "tags": [2], "word_tags": [2], "word_tokens": [0]},
    ]
    arrays = [{name: np.array(value) for name, value in sample.items()} for sample in samples]
    objective = TokenClassificationObjective(TrainSpec(), _prepared(("tokens", "tokens_lengths"), classes=classes))
    chosen = selection(objective)
    assert (chosen.metric, chosen.higher_is_better) == ("entity_f1", True)
    assert chosen.combine is not None
    found = objective.step(toy, _batch([TOKENS, *specs], arrays), _generator(), training=False)
    assert found.sums is not None
    assert found.sums.tolist() == [1, 2, 3]
    assert chosen.combine([1.0, 2.0, 3.0]) == 2 / 5
    assert chosen.combine([0.0, 0.0, 0.0]) == 0
    alone = objective.step(toy, _batch([TOKENS, specs[0]], arrays), _generator(), training=False)
    assert alone.sums is not None
    assert alone.sums.tolist() == [1, 2, 2]  # of a task that has tags alone
    for kind, metric in ((TranslationObjective, "bleu"), (NextTokenObjective, "loss")):
        assert selection(kind(TrainSpec(), _prepared(("tokens",)))).metric == metric


def test_a_batch_without_any_tag_has_no_loss_instead_of_no_number() -> None:
    tags = ArraySpec(name="tags", type="int64", shape=(), layout="ragged", pad=-100)
    samples = [{"tokens": np.array([1, 2]), "tags": np.array([-100, -100])}]
    objective = TokenClassificationObjective(TrainSpec(), _prepared(("tokens", "tokens_lengths"), classes=["O"]))
    assert _values(objective.step(_Toy(3), _batch([TOKENS, tags], samples), _generator(), training=True)) == (0, 0, 0)


def test_a_language_model_guesses_each_next_token() -> None:
    toy = _Toy()
    samples = _texts()
    objective = NextTokenObjective(TrainSpec(label_smoothing=0.1), _prepared(("tokens", "tokens_lengths")))
    found = objective.step(toy, _batch([TOKENS], samples), _generator(), training=False)
    losses, right = [], 0
    for sample in samples:
        for token, following in zip(sample["tokens"][:-1], sample["tokens"][1:], strict=True):
            row = toy(torch.tensor([token]))[0]
            losses.append(-row.log_softmax(0)[following].item())
            right += int(row.argmax() == following)
    assert _values(found) == (pytest.approx(np.mean(losses), rel=1e-5), right, 4 + 0 + 8 + 1)
    smooth = objective.step(toy, _batch([TOKENS], samples), _generator(), training=True)
    pairs = [pair for one in samples for pair in zip(one["tokens"][:-1], one["tokens"][1:], strict=True)]
    seen, following = torch.tensor(pairs).T
    expected = functional.cross_entropy(toy(seen), following, label_smoothing=0.1)
    assert smooth.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_language_model_trains_on_whole_texts(tmp_path: Path) -> None:
    whole = ArraySpec(name="text_tokens", type="int32", shape=(), layout="ragged", pad=0)
    samples = [{"tokens": np.arange(9), "text_tokens": np.arange(25)}, {"tokens": np.arange(3), "text_tokens": [1, 2]}]
    split = stored(tmp_path / "train", [TOKENS, whole], samples)
    objective = NextTokenObjective(TrainSpec(), _prepared(("tokens", "tokens_lengths")))
    packed = training_split(objective, split, "train")
    assert packed.batch(np.arange(len(packed)))["tokens_lengths"].sum() == 27 + len(packed) - 1
    assert training_split(cast(Objective, object()), split, "train") is split


def test_a_translation_is_told_its_target_so_far() -> None:
    target = ArraySpec(name="target", type="int64", shape=(), layout="ragged", pad=0)
    source = ArraySpec(name="source", type="int64", shape=(), layout="ragged", pad=0)
    samples = [
        {"source": np.array([3, 4, 5]), "target": np.array([1, 6, 7, 2])},
        {"source": np.array([3]), "target": np.array([1, 2])},
    ]
    toy, seen = _Toy(), []

    def forward(source: Tensor, source_lengths: Tensor, so_far: Tensor) -> Tensor:
        seen.append((source.shape, source_lengths.tolist(), so_far.tolist()))
        return cast(Tensor, toy(so_far))

    objective = TranslationObjective(TrainSpec(), _prepared(("source", "source_lengths", "target")))
    found = objective.step(forward, _batch([source, target], samples), _generator(), training=True)
    assert seen == [((2, 3), [3, 1], [[1, 6, 7], [1, 2, 0]])]
    pairs = torch.tensor([(1, 6), (6, 7), (7, 2), (1, 2)])
    expected = functional.cross_entropy(toy(pairs[:, 0]), pairs[:, 1])
    right = int((toy(pairs[:, 0]).argmax(dim=1) == pairs[:, 1]).sum())
    assert _values(found) == (pytest.approx(expected.item(), rel=1e-5), right, 4)


@pytest.mark.parametrize("kind", ["pinball", "mse"])
def test_a_forecast_is_scored_by_its_quantiles(kind: str) -> None:
    values = torch.randn(3, 4, 2, 3, generator=_generator())
    future = torch.randn(3, 4, 2, generator=_generator(1))
    output_spec = ForecastOutput(horizon=4, channels=2, quantiles=[0.1, 0.5, 0.9])
    prepared = _prepared(("past",), processor={"output_spec": lambda: output_spec})
    spec = TrainSpec.model_validate({"forecast_loss": kind})
    found = ForecastingObjective(spec, prepared).step(
        lambda past: past, {"past": values, "future": future}, _generator(), training=True
    )
    losses = []
    for place, level in enumerate([0.1, 0.5, 0.9]):
        above = future.numpy() - values[..., place].numpy()
        loss = np.where(above > 0, level * above, (level - 1) * above).mean()
        losses.append(float((above**2).mean()) if kind == "mse" and level == 0.5 else float(loss))
    squared = float(((values[..., 1] - future) ** 2).sum())
    assert _values(found) == (pytest.approx(np.mean(losses), rel=1e-5), pytest.approx(squared, rel=1e-5), 24)


def test_the_pinball_loss_is_smallest_at_the_quantile() -> None:
    drawn = torch.randn(20_000, 1, 1, generator=_generator())
    levels = torch.tensor([0.1, 0.5, 0.9])
    places = torch.linspace(-3, 3, 301)
    losses = torch.stack([pinball(torch.full((20_000, 1, 1, 3), float(place)), drawn, levels) for place in places])
    best = places[losses.argmin(dim=0)]
    torch.testing.assert_close(best, torch.tensor([-1.2816, 0.0, 1.2816]), atol=0.05, rtol=0)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_diffusion_adds_noise_as_its_schedule_says(schedule: Any) -> None:
    images = torch.randint(0, 256, (6, 4, 5, 1), dtype=torch.uint8, generator=_generator())
    labels = torch.arange(6) % 3
    settings = {"noise_schedule": schedule, "noise_steps": 50, "unlabelled": 0.0}
    prepared = _prepared(("noisy", "step", "label"), processor=settings, classes=["a", "b", "c"])
    objective = DiffusionObjective(TrainSpec(), prepared)
    kept = alphas_cumprod(schedule, 50)
    assert 0.95 < kept[0] < 1
    assert 0 < kept[-1] < 0.01
    assert (np.diff(kept) < 0).all()
    seen: list[tuple[Tensor, Tensor]] = []

    def forward(noisy: Tensor, step: Tensor, label: Tensor) -> Tensor:
        seen.append((noisy, step))
        assert label.tolist() == labels.tolist()
        return torch.zeros_like(noisy)

    batch = {"images": images, "labels": labels}
    found = objective.step(forward, batch, _generator(5), training=True)
    noisy, step = seen[0]
    clean = images.permute(0, 3, 1, 2).double() / 127.5 - 1
    share = torch.from_numpy(kept)[step][:, None, None, None]
    noise = (noisy.double() - share.sqrt() * clean) / (1 - share).sqrt()
    assert found.loss.item() == pytest.approx((noise**2).mean().item(), rel=1e-3)
    assert _values(found)[1:] == (pytest.approx(6 * found.loss.item()), 6)
    again = objective.step(forward, batch, _generator(5), training=False)
    assert again.loss.item() == found.loss.item()
    other = objective.step(forward, batch, _generator(6), training=True)
    assert other.loss.item() != found.loss.item()


def test_diffusion_hides_some_classes_while_it_trains() -> None:
    settings = {"noise_schedule": "cosine", "noise_steps": 50, "unlabelled": 0.25}
    objective = DiffusionObjective(TrainSpec(), _prepared((), processor=settings, classes=["a", "b"]))
    batch = {"images": torch.zeros(400, 2, 2, 1, dtype=torch.uint8), "labels": torch.zeros(400, dtype=torch.int64)}
    seen: list[Tensor] = []

    def forward(noisy: Tensor, step: Tensor, label: Tensor) -> Tensor:
        seen.append(label)
        return torch.zeros_like(noisy)

    for training in (True, False):
        objective.step(forward, batch, _generator(), training=training)
    assert set(seen[0].tolist()) == {0, 2}
    assert 70 < int((seen[0] == 2).sum()) < 130
    assert not seen[1].any()


def test_detection_mirrors_and_shifts_images_with_their_boxes() -> None:
    """A painted rectangle is where its box says, whatever was drawn; one that mostly left is not asked for."""
    height, width, count = 12, 16, 200
    images = torch.zeros(count, height, width, 1, dtype=torch.uint8)
    images[:, 2:5, 1:7] = 255  # rows 2 to 4, columns 1 to 6
    box = torch.tensor([4 / width, 3.5 / height, 6 / width, 3 / height])
    boxes = torch.stack([box, torch.zeros(4)]).expand(count, 2, 4)
    batch = {"images": images, "boxes": boxes, "boxes_lengths": torch.ones(count, dtype=torch.int64)}
    batch["box_classes"] = torch.tensor([3, 0]).expand(count, 2)
    asked = {"flip": True, "flip_vertical": True, "shift_pixels": 6}
    spec = TrainSpec.model_validate({"augment": asked})
    objective = DetectionObjective(spec, _prepared(("images",)))
    found = objective.augment(batch, spec.augment, _generator())
    seen = set()
    for image, moved, kinds, left in zip(
        found["images"][..., 0], found["boxes"], found["box_classes"], found["boxes_lengths"].tolist(), strict=True
    ):
        rows, columns = torch.nonzero(image.any(dim=1))[:, 0], torch.nonzero(image.any(dim=0))[:, 0]
        assert left == (len(rows) * len(columns) >= 0.3 * 18)
        if left:
            top, bottom, first, last = (int(value) for value in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
            middle = [(first + last) / 2 / width, (top + bottom) / 2 / height]
            expected = torch.tensor([*middle, (last - first) / width, (bottom - top) / height])
            torch.testing.assert_close(moved[0], expected)
            assert int(kinds[0]) == 3
            seen.add((top, first))
    assert len(seen) > 60
    assert 0 < int((found["boxes_lengths"] == 0).sum()) < count / 2

    plain = TrainSpec.model_validate({"augment": {"flip": True}}).augment
    mirrored = objective.augment(batch, plain, _generator())
    changed = [not torch.equal(new, old) for new, old in zip(mirrored["images"], images, strict=True)]
    assert count / 4 < sum(changed) < count * 3 / 4
    torch.testing.assert_close(mirrored["boxes"][:, 0, 1:], boxes[:, 0, 1:])
    batch = {name: values[:64] for name, values in batch.items()}

    class Detector:
        def __call__(self, images: Tensor) -> str:
            return f"outputs of {len(images)}"

        def loss(self, outputs: str, boxes: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
            assert outputs == "outputs of 64"
            assert classes.shape == boxes.shape[:2]
            return counts.float().mean()

    assert _values(objective.step(Detector(), batch, _generator(), training=True)) == (1.0, 64.0, 64)
    flagged = {**batch, "box_flags": torch.tensor([2, 0], dtype=torch.uint8).expand(64, 2)}
    flagged |= {"boxes_lengths": torch.full((64,), 2), "box_classes": torch.tensor([0, 3]).expand(64, 2)}
    assert _values(objective.step(Detector(), flagged, _generator(), training=True)) == (1.0, 64.0, 64)
    learnt = objective.augment({**flagged, "boxes": batch["boxes"].flip(1)}, plain, _generator())
    assert "box_flags" not in learnt
    assert (learnt["boxes_lengths"].tolist(), learnt["box_classes"][:, 0].tolist()) == ([1] * 64, [3] * 64)


def test_augmentation_is_refused_before_training_where_there_is_none() -> None:
    spec = TrainSpec.model_validate({"augment": {"flip": True}})
    place = "components.training.objectives"
    with pytest.raises(UsageError, match="has no augmentation"):
        open_objective(f"{place}.next_token:NextTokenObjective", spec, _prepared(("tokens", "tokens_lengths")))
    with pytest.raises(UsageError, match="no such augmentation"):
        open_objective(f"{place}.classification:ClassificationObjective", spec, _prepared(("tokens", "tokens_lengths")))
    input_spec = ImageInput(height=4, width=4, channels=1, mean=[0.5], std=[0.5])
    objective = open_objective(
        f"{place}.classification:ClassificationObjective", spec, _prepared(("images",), input_spec=input_spec)
    )
    images = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1).repeat(50, 1, 1, 1)
    changed = objective.augment({"images": images}, spec.augment, _generator())["images"]
    assert 10 < sum(not torch.equal(image, images[0]) for image in changed) < 40


def test_an_objective_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="objective cannot be imported"):
        open_objective("components.training.objectives.nothing:At", TrainSpec(), _prepared(("x",)))


def test_the_loss_of_a_toy_is_that_of_its_guess() -> None:
    """A uniform guess costs ln V, whatever the lengths."""
    toy = _Toy()
    nn.init.zeros_(toy.table.weight)
    objective = NextTokenObjective(TrainSpec(), _prepared(("tokens", "tokens_lengths")))
    step = objective.step(toy, _batch([TOKENS], _texts()), _generator(), training=False)
    assert step.loss.item() == pytest.approx(math.log(VOCABULARY), rel=1e-6)
