"""Mixup, CutMix, SpecAugment and word dropout, what objectives make of them, and which task is refused which."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from components import tasks
from components.contracts.augment_spec import AugmentSpec, SpecAugmentSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.shapes import (
    AUGMENTATIONS,
    BoxesOutput,
    ClassesOutput,
    ForecastOutput,
    ImageInput,
    InputSpec,
    LabelsOutput,
    MaskOutput,
    OutputSpec,
    SeriesInput,
    SpectrogramInput,
    TokensInput,
    ValuesOutput,
)
from components.contracts.train_spec import TrainSpec
from components.core.errors import Problem, UsageError
from components.preprocessing.text import Tokenizer
from components.preprocessing.tokenizer_spec import Bpe, WordLevel
from components.tasks import compatibility
from components.training.augmentation import preview, spectrogram
from components.training.augmentation.inputs import augment_input
from components.training.augmentation.mixing import mix_images, mix_series
from components.training.augmentation.tokens import with_dropped_words
from components.training.objectives.classification import ClassificationObjective
from components.training.objectives.detection import DetectionObjective
from components.training.objectives.forecasting import ForecastingObjective
from components.training.objectives.labels import LabelsObjective
from components.training.objectives.objective import check_augmentation
from components.training.objectives.segmentation import SegmentationObjective
from components.training.objectives.value import ValueObjective

IMAGES = ImageInput(height=6, width=8, channels=3, mean=[0.5] * 3, std=[0.5] * 3)
SOUNDS = SpectrogramInput(channels=5, max_length=30, mean=[1.0, 2.0, 3.0, 4.0, 5.0], std=[1.0] * 5)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _prepared(input_spec: InputSpec, output_spec: OutputSpec, *inputs: str, **train: Any) -> Any:
    processor = SimpleNamespace(
        inputs=lambda: inputs or ("images",), input_spec=lambda: input_spec, output_spec=lambda: output_spec
    )
    split = SimpleNamespace(all={name: np.asarray(values) for name, values in train.items()}.__getitem__)
    return SimpleNamespace(
        processor=processor, train=split, classes=["a", "b", "c"], task=SimpleNamespace(name="small")
    )


def _levels(count: int) -> torch.Tensor:
    """Images (N, 6, 8, 3), each of one level: its number."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].repeat(1, 6, 8, 3)


def test_mixup_mixes_pixels_in_the_share_of_the_targets() -> None:
    images = _levels(200)
    mixed, mix = mix_images(images, AugmentSpec(mixup=0.5), _generator())
    torch.testing.assert_close(mixed, mix.of(images))
    numbers = torch.arange(200)
    torch.testing.assert_close(mix.of(numbers), mix.share * numbers + (1 - mix.share) * mix.partner)
    assert sorted(mix.partner.tolist()) == numbers.tolist()
    assert mix.share.mean().item() == pytest.approx(0.5, abs=0.1)
    assert mix.share.var().item() == pytest.approx(1 / 8, rel=0.25)  # of Beta(1/2, 1/2)


def test_cutmix_puts_one_rectangle_in_place_and_its_area_is_the_share() -> None:
    images = _levels(200)
    mixed, mix = mix_images(images, AugmentSpec(cutmix=1.0), _generator())
    own = (mixed == images)[..., 0]  # (N, H, W)
    other = (mixed == images[mix.partner].float())[..., 0]
    differs = mix.partner != torch.arange(200)
    assert bool((own ^ other)[differs].all())
    torch.testing.assert_close(own.float().mean(dim=(1, 2))[differs], mix.share[differs])
    rows, columns = other.any(dim=2).sum(dim=1), other.any(dim=1).sum(dim=1)
    assert torch.equal((rows * columns)[differs], other.sum(dim=(1, 2))[differs])
    assert len(mix.share.unique()) > 15


def test_with_both_half_of_the_images_are_cut() -> None:
    images = _levels(250)
    mixed, mix = mix_images(images, AugmentSpec(mixup=8.0, cutmix=1.0), _generator())
    between = (mixed != images.float()) & (mixed != images[mix.partner].float())
    assert between.flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.12)
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), mix.of(torch.arange(250)), atol=1e-3, rtol=1e-4)


def test_series_are_mixed_where_both_have_values() -> None:
    lengths = torch.tensor([3, 6, 6, 1])
    values = torch.rand(4, 6, 2, generator=_generator(1)) * (torch.arange(6)[None, :, None] < lengths[:, None, None])
    mixed, found, mix = mix_series(values, lengths, 0.5, _generator())
    assert found is not None
    for number, (share, partner) in enumerate(zip(mix.share.tolist(), mix.partner.tolist(), strict=True)):
        one, other = int(lengths[number]), int(lengths[partner])
        assert int(found[number]) == max(one, other)
        both = min(one, other)
        expected = torch.cat([share * values[number, :both] + (1 - share) * values[partner, :both]])
        torch.testing.assert_close(mixed[number, :both], expected)
        longer = number if one >= other else partner
        assert torch.equal(mixed[number, both:], values[longer, both:])


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_labels_is_torchs_of_soft_labels(weights: Any, smoothing: float) -> None:
    labels = torch.tensor([0, 2, 1, 0, 0, 2])
    spec = TrainSpec(class_weights=weights, label_smoothing=smoothing, augment=AugmentSpec(mixup=1.0))
    objective = ClassificationObjective(spec, _prepared(IMAGES, ClassesOutput(classes=3), labels=labels))
    batch = objective.augment({"images": _levels(6), "labels": labels}, spec.augment, _generator())
    logits = torch.randn(6, 3, generator=_generator())
    step = objective.step(lambda _: logits, batch, _generator(), training=True)
    share = batch["shares"][:, None]
    soft = share * functional.one_hot(labels, 3) + (1 - share) * functional.one_hot(batch["other_labels"], 3)
    expected = functional.cross_entropy(logits, soft, objective.weights, reduction="sum", label_smoothing=smoothing)
    total = 6.0 if objective.weights is None else (soft * objective.weights).sum()
    torch.testing.assert_close(step.loss, expected / total)
    assert step.score_sum.item() == pytest.approx(soft.gather(1, logits.argmax(dim=1, keepdim=True)).sum().item())
    plain = objective.step(lambda _: logits, {"images": _levels(6), "labels": labels}, _generator(), training=True)
    whole = {**batch, "shares": torch.ones(6)}
    torch.testing.assert_close(objective.step(lambda _: logits, whole, _generator(), training=True).loss, plain.loss)


def test_sets_of_labels_and_numbers_are_mixed_by_the_same_shares() -> None:
    spec = AugmentSpec(mixup=1.0)
    numbers = torch.arange(20.0)[:, None]
    flags = torch.arange(20)[:, None] % 4 == torch.arange(4)
    train = TrainSpec(augment=spec)
    value = ValueObjective(train, _prepared(IMAGES, ValuesOutput(mean=0.0, std=1.0)))
    labels = LabelsObjective(train, _prepared(IMAGES, LabelsOutput(classes=4), labels=flags))
    for objective, name, values in ((value, "target", numbers), (labels, "labels", flags)):
        made = objective.augment({"images": _levels(20), name: values}, spec, _generator())
        _, mix = mix_images(_levels(20), spec, _generator())
        torch.testing.assert_close(made[name], mix.of(values))
        loss = objective.step(lambda _, like=values: torch.zeros(like.shape), made, _generator(), training=True).loss
        assert bool(torch.isfinite(loss))


def test_spec_augment_masks_spans_of_the_drawn_widths_with_the_mean() -> None:
    lengths = torch.tensor([30, 12] * 300)
    frames = torch.full((600, 30, 5), 9.0) * (torch.arange(30)[None, :, None] < lengths[:, None, None])
    spec = SpecAugmentSpec(time_masks=1, time_width=10, time_share=0.25, frequency_masks=0)
    mean = torch.tensor(SOUNDS.mean)
    found = spectrogram.masked(frames, lengths, spec, mean, _generator())
    changed = (found != frames).all(dim=2)  # (N, T)
    for size, widest in ((30, 7), (12, 3)):
        rows = changed[lengths == size]
        widths = rows.sum(dim=1)
        assert set(widths.tolist()) == set(range(widest + 1))
        assert not bool(rows[:, size:].any())
        assert bool(rows[:, 0].any() & rows[:, size - 1].any())
        assert int(rows.int().diff(dim=1).abs().sum(dim=1).max()) <= 2  # one span
    assert torch.equal(found[changed], mean.expand(int(changed.sum()), 5))
    bands = SpecAugmentSpec(time_masks=0, frequency_masks=2, frequency_width=2)
    masked = (spectrogram.masked(frames, lengths, bands, mean, _generator()) != frames).any(dim=1).sum(dim=1)  # (N,)
    assert set(masked.tolist()) == {0, 1, 2, 3, 4}


def test_words_are_dropped_but_special_tokens_and_padding_are_not() -> None:
    texts = ["the cat sat on the mat", "the cat", "a mat on the cat"] * 200
    for kind in (WordLevel(min_frequency=1), Bpe(vocabulary=270)):
        tokenizer = Tokenizer.fit(kind, texts)
        assert tokenizer.special == (0, 1, 2, 3)
        spec = TokensInput(
            vocabulary=tokenizer.vocabulary, max_length=20, mask=tokenizer.unknown, special=tokenizer.special
        )
        encoded = tokenizer.encode(texts, 20)
        lengths = torch.tensor([len(tokens) for tokens in encoded])
        tokens = torch.zeros(600, int(lengths.max()), dtype=torch.int64)
        for row, values in zip(tokens, encoded, strict=True):
            row[: len(values)] = torch.from_numpy(values)
        tokens[:, 0] = 2
        found = with_dropped_words(tokens, lengths, 0.3, spec, _generator())
        changed = found != tokens
        assert set(found[changed].tolist()) == {1}
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]
        assert not bool(changed[~inside].any() | changed[:, 0].any())
        assert changed[:, 1:][inside[:, 1:]].float().mean().item() == pytest.approx(0.3, abs=0.04)
    with pytest.raises(UsageError, match="neither"):
        check_augmentation(
            SimpleNamespace(),  # type: ignore[arg-type]
            TrainSpec(augment=AugmentSpec(word_dropout=0.1)),
            _prepared(TokensInput(vocabulary=5, max_length=5), ClassesOutput(classes=2)),
        )


def test_a_forecast_follows_its_scaled_past_and_noise_is_of_the_past_alone() -> None:
    spec = SeriesInput(channels=2, max_length=8, mean=[1.0, -1.0], std=[1.0, 2.0])
    output = ForecastOutput(horizon=3, channels=2, quantiles=[0.5])
    objective = ForecastingObjective(TrainSpec(), _prepared(spec, output, "past"))
    whole = torch.rand(5, 11, 2, generator=_generator())
    batch = {"past": whole[:, :8], "future": whole[:, 8:]}
    scaled = objective.augment(batch, AugmentSpec(scale=0.3), _generator())
    factors = (torch.cat([scaled["past"], scaled["future"]], dim=1) - torch.tensor(spec.mean)) / (
        whole - torch.tensor(spec.mean)
    )
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), atol=1e-3, rtol=1e-3)
    assert factors[:, 0].std().item() > 0.1
    noisy = objective.augment(batch, AugmentSpec(noise=0.1), _generator())
    assert torch.equal(noisy["future"], batch["future"])
    assert 0 < float((noisy["past"] - batch["past"]).abs().max()) < 1


def test_rotated_and_cropped_masks_stay_with_their_pixels() -> None:
    """Every class has its own level, so that the image says what the mask must be."""
    blocks = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).repeat_interleave(10, 0).repeat_interleave(10, 1)
    batch = {"images": (blocks * 50)[None, ..., None].repeat(40, 1, 1, 1), "masks": blocks.repeat(40, 1, 1)}
    spec = AugmentSpec.model_validate({"rotate_degrees": 40.0, "flip": True, "resized_crop": {"scale": [0.5, 1.0]}})
    objective = SegmentationObjective(TrainSpec(augment=spec), _prepared(IMAGES, MaskOutput(classes=5)))
    made = objective.augment(batch, spec, _generator())
    levels, masks = made["images"][..., 0], made["masks"]
    assert set(masks.unique().tolist()) == {1, 2, 3, 4, 255}
    exact = (levels / 50 - (levels / 50).round()).abs() < 1e-4  # pixels that are not interpolated
    sure = exact & (levels > 1)
    assert sure.float().mean() > 0.5
    agree = (masks == (levels / 50).round())[sure].float().mean()
    assert agree > 0.97  # halves of two classes can look like a third one
    assert bool((masks[levels < 1e-3] == 255).all())
    assert masks.dtype == torch.uint8


def test_boxes_follow_crops_and_vanish_with_what_they_show() -> None:
    images = torch.zeros(100, 40, 40, 3, dtype=torch.uint8)
    images[:, 10:20, 24:36] = 255
    boxes = torch.tensor([[30 / 40, 15 / 40, 12 / 40, 10 / 40]]).expand(100, 1, 4)
    batch = {"images": images, "boxes": boxes, "box_classes": torch.ones(100, 1, dtype=torch.int64)}
    batch["boxes_lengths"] = torch.ones(100, dtype=torch.int64)
    spec = AugmentSpec.model_validate(
        {"resized_crop": {"scale": [0.3, 1.0]}, "flip": True, "color_jitter": {"hue": 0.1}}
    )
    objective = DetectionObjective(TrainSpec(augment=spec), _prepared(IMAGES, BoxesOutput(classes=2)))
    made = objective.augment(batch, spec, _generator())
    kept = made["boxes_lengths"].bool()
    assert 60 < int(kept.sum()) < 100
    for image, box in zip(made["images"][kept].amax(dim=3) > 127, made["boxes"][kept][:, 0], strict=True):
        rows, columns = torch.nonzero(image.any(dim=1))[:, 0], torch.nonzero(image.any(dim=0))[:, 0]
        x, y, wide, high = (box * 40).tolist()
        seen = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
        edges = [y - high / 2, y + high / 2, x - wide / 2, x + wide / 2]
        assert all(abs(float(one) - other) <= 0.51 for one, other in zip(seen, edges, strict=True))


@pytest.mark.parametrize(
    ("input_spec", "names", "augment"),
    [
        (IMAGES, ("images",), {"rand_augment": {}, "color_jitter": {"hue": 0.2, "contrast": 0.3}, "cutmix": 1.0}),
        (IMAGES, ("images",), {"resized_crop": {}, "mixup": 0.4, "erase": 0.3, "flip": True}),
        (
            SOUNDS,
            ("series", "series_lengths"),
            {"spec_augment": {}, "time_warp": 0.2, "window_slice": 0.8, "mixup": 1.0},
        ),
        (SOUNDS, ("series", "series_lengths"), {"noise": 0.2, "scale": 0.1}),
        (TokensInput(vocabulary=9, max_length=9, mask=1), ("tokens", "tokens_lengths"), {"word_dropout": 0.5}),
    ],
)
def test_a_batch_depends_on_the_generator_alone_and_its_arrays_stay(
    input_spec: InputSpec, names: tuple[str, ...], augment: dict[str, Any]
) -> None:
    spec = AugmentSpec.model_validate(augment)
    batch = {
        "images": torch.randint(0, 256, (7, 6, 8, 3), dtype=torch.uint8, generator=_generator()),
        "series": torch.rand(7, 30, 5, generator=_generator()),
        "series_lengths": torch.tensor([30, 1, 2, 9, 30, 17, 4]),
        "tokens": torch.randint(2, 9, (7, 9), generator=_generator()),
        "tokens_lengths": torch.tensor([9, 1, 2, 3, 4, 5, 6]),
    }
    before = {name: value.clone() for name, value in batch.items()}
    first, second, other = (augment_input(batch, names, input_spec, spec, _generator(seed))[0] for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in batch)
    assert not torch.equal(first[names[0]], other[names[0]])
    assert not torch.equal(first[names[0]].float(), batch[names[0]].float())
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    assert bool(torch.isfinite(first[names[0]].float()).all())


REFUSED = {
    "image-classification": {"spec_augment": {}, "noise": 0.1, "word_dropout": 0.1},
    "image-regression": {"cutmix": 1.0, "scale": 0.1},
    "multi-label-image-classification": {"time_warp": 0.1},
    "object-detection": {"rotate_degrees": 5.0, "erase": 0.1, "rand_augment": {}, "mixup": 0.2, "cutmix": 1.0},
    "semantic-segmentation": {"erase": 0.1, "rand_augment": {}, "mixup": 0.2},
    "image-generation": {"shift_pixels": 2, "mixup": 0.2, "color_jitter": {"hue": 0.1}},
    "sound-classification": {"scale": 0.1, "flip": True, "cutmix": 1.0},
    "series-classification": {"spec_augment": {}, "flip": True},
    "forecasting": {"time_warp": 0.1, "window_slice": 0.9, "mixup": 0.2},
    "text-classification": {"mixup": 0.2, "flip": True},
    "token-classification": {"noise": 0.2},
    "text-generation": {"word_dropout": 0.1},
    "translation": {"word_dropout": 0.1},
    "tabular-classification": {"noise": 0.1, "mixup": 0.2},
}


def _problems(name: str, augment: dict[str, Any]) -> list[Problem]:
    model = {"family": "cnn", "name": "textbook"}
    spec = {"name": "a", "task": name, "dataset": "a", "model": model, "train": {"augment": augment}}
    found = compatibility.problems(PipelineSpec.model_validate(spec), tasks.find(name))
    return [problem for problem in found if problem.path.startswith("train.augment")]


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_task_cannot_use_is_refused_with_what_it_can(name: str) -> None:
    problems = _problems(name, REFUSED[name])
    assert [problem.path for problem in problems] == [
        f"train.augment.{setting}" for setting in AUGMENTATIONS if setting in REFUSED[name]
    ]
    usable = problems[0].message.partition("it can use ")[2].split(", ")
    values: dict[str, Any] = {"shift_pixels": 1, "color_jitter": {"hue": 0.1}}
    values |= dict.fromkeys(("flip", "flip_vertical"), True)
    values |= {key: {} for key in ("resized_crop", "rand_augment", "spec_augment")}
    assert not _problems(name, {setting: values.get(setting, 0.1) for setting in usable if setting != "none"})
    assert all(setting in AUGMENTATIONS for setting in usable) or usable == ["none"]


def test_the_hue_of_grey_images_is_refused_by_the_training_too() -> None:
    grey = IMAGES.model_copy(update={"channels": 1})
    spec = TrainSpec.model_validate({"augment": {"color_jitter": {"brightness": 0.1, "hue": 0.1}}})
    with pytest.raises(UsageError, match="neither saturation nor hue") as caught:
        check_augmentation(SimpleNamespace(), spec, _prepared(grey, ClassesOutput(classes=2)))  # type: ignore[arg-type]
    assert caught.value.where == "train.augment.color_jitter.hue"
    check_augmentation(SimpleNamespace(), spec, _prepared(IMAGES, ClassesOutput(classes=2)))  # type: ignore[arg-type]


def test_settings_at_their_default_are_in_no_digest() -> None:
    known = {"flip", "flip_vertical", "shift_pixels", "rotate_degrees", "erase"}
    assert set(AugmentSpec(flip=True).model_dump(mode="json")) == known
    assert set(AugmentSpec(mixup=0.2).model_dump(mode="json")) == known | {"mixup"}


def test_the_picture_shows_pairs_of_images_and_of_spectrograms(tmp_path: Any) -> None:
    batch = {"images": _levels(3) + 60, "boxes": torch.rand(3, 2, 4), "boxes_lengths": torch.tensor([0, 1, 2])}
    path = tmp_path / "augmentation" / "pairs.png"
    assert preview.draw(path, batch, {**batch, "images": batch["images"].float() * 2}, ("images",), IMAGES)
    with Image.open(path) as picture:
        assert picture.size == (2 * (2 * 96 + 12), 2 * (72 + 4))
        assert (picture.getpixel((40, 40)), picture.getpixel((140, 40))) == ((60,) * 3, (120,) * 3)
    sounds = {"series": torch.rand(3, 30, 5), "series_lengths": torch.tensor([30, 10, 1])}
    assert preview.draw(path, sounds, sounds, ("series", "series_lengths"), SOUNDS)
    texts = {"tokens": torch.ones(2, 3, dtype=torch.int64)}
    assert not preview.draw(tmp_path / "none.png", texts, texts, ("tokens",), TokensInput(vocabulary=3, max_length=3))
    assert not (tmp_path / "none.png").exists()
