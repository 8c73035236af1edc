"""Difficult boxes and crowds: average precision by hand, and against a plain reading of pycocotools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.array_spec import ArraySpec
from components.evaluation.box_matching import THRESHOLDS
from components.evaluation.detection import SCORER, Detections
from tests.evaluation.stub_package import Answers, frozen, quiet
from tests.evaluation.test_detection import CLASSES, boxes, plain_overlap

Flags = list[np.ndarray]


def drawn(seed: int, images: int = 14) -> tuple[list[Detections], list[Detections], Flags]:
    """True boxes of which some have a flag, and up to 130 detections near them; some scores are equal."""
    random = np.random.default_rng(seed)
    found, truths, flags = [], [], []
    for image in range(images):
        true = [
            (*random.uniform(0.2, 0.8, 2), *random.uniform(0.1, 0.3, 2), 1.0, int(random.integers(2)))
            for _ in range(random.integers(0, 7))
        ]
        near = [
            (*(np.array(row[:4]) * random.normal(1, 0.08, 4)), round(random.random(), 2), row[5])
            for row in true
            for _ in range(random.integers(0, 5))
        ]
        many = 130 if image == 3 else 2
        lost = [(*random.uniform(0.2, 0.8, 2), 0.1, 0.1, random.random(), int(random.integers(2))) for _ in range(many)]
        found.append(boxes(*near, *lost))
        truths.append(boxes(*true))
        flags.append(random.choice(3, len(true), p=(0.6, 0.2, 0.2)).astype(np.uint8))
    return found, truths, flags


def share_inside(one: list[float], crowd: list[float]) -> float:
    """The share of a box that is inside a crowd."""
    iou = plain_overlap(one, crowd)
    area, other = one[2] * one[3], crowd[2] * crowd[3]
    return iou * (area + other) / (1 + iou) / area


def pycocotools(found: list[Detections], truths: list[Detections], flags: Flags, kind: int, threshold: float) -> float:
    """`COCOeval.evaluateImg` and `accumulate`, area all, maxDets 100 of an image; an ignored box has `ignore`, a crowd
    `iscrowd` too."""
    entries: list[tuple[float, bool, bool]] = []  # score, is matched, is ignored
    positives = 0
    for one, truth, flag in zip(found, truths, flags, strict=True):
        order = np.argsort([-score for score in one.scores], kind="mergesort")[:100]
        order = [place for place in order if one.classes[place] == kind]
        own = [place for place in range(len(flag)) if truth.classes[place] == kind]
        own.sort(key=lambda place: flag[place] != 0)
        positives += sum(flag[place] == 0 for place in own)
        taken: set[int] = set()
        for place in order:
            best, match = min(threshold, 1 - 1e-10), -1
            for true in own:
                if true in taken and flag[true] != 2:
                    continue
                if match > -1 and flag[match] == 0 and flag[true] != 0:
                    break
                measure = share_inside if flag[true] == 2 else plain_overlap
                shared = measure(one.boxes[place].tolist(), truth.boxes[true].tolist())
                if shared < best:
                    continue
                best, match = shared, true
            if match > -1:
                taken.add(match)
            entries.append((float(one.scores[place]), match > -1, match > -1 and flag[match] != 0))
    entries.sort(key=lambda entry: -entry[0])
    right = np.cumsum([matched and not ignored for _, matched, ignored in entries])
    wrong = np.cumsum([not matched and not ignored for _, matched, ignored in entries])
    recall, precision = right / positives, right / np.maximum(right + wrong, np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.mean([envelope[place] if place < len(envelope) else 0.0 for place in places]))


@pytest.mark.parametrize("seed", range(3))
def test_against_the_rules_of_coco(seed: int) -> None:
    found, truths, flags = drawn(seed)
    scored = SCORER.of_images(found, truths, CLASSES, flags=flags)
    expected = [[pycocotools(found, truths, flags, kind, one) for one in THRESHOLDS] for kind in (0, 1)]
    figures = scored.figures()
    assert figures["coco_map_50"] == pytest.approx(np.mean([row[0] for row in expected]), abs=1e-9)
    assert figures["coco_map_50_95"] == pytest.approx(np.mean(expected), abs=1e-9)
    weights = np.random.default_rng(0).integers(0, 3, (2, len(found)))
    for row, value in zip(weights, scored.resampled("coco_map_50", weights.astype(np.float64)), strict=True):
        chosen = np.repeat(np.arange(len(found)), row)
        again = SCORER.of_images(*([part[at] for at in chosen] for part in (found, truths)), CLASSES,
                                 flags=[flags[at] for at in chosen])  # fmt: skip
        assert value == pytest.approx(again.figures()["coco_map_50"], abs=1e-9)


TRUE = (0.2, 0.2, 0.2, 0.2, 1.0, 0)
BESIDE = (0.8, 0.8, 0.2, 0.2, 1.0, 0)


@pytest.mark.parametrize(
    ("flag", "detections", "voc", "coco"),
    [
        # A detection of a box with a flag in front of the right one: wrong if the box is absent, else neither.
        (1, [(*BESIDE[:4], 0.9, 0), (*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        (2, [(*BESIDE[:4], 0.9, 0), (*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        # Two of them: a difficult box of VOC takes any number, one that COCO ignores takes one, a crowd any number.
        (1, [(*BESIDE[:4], 0.9, 0), (*BESIDE[:4], 0.85, 0), (*TRUE[:4], 0.8, 0)], 1.0, 0.5),
        (2, [(*BESIDE[:4], 0.9, 0), (*BESIDE[:4], 0.85, 0), (*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        # A small detection inside: the IoU is 0.25, the share of its area inside 1.
        (1, [(0.8, 0.8, 0.1, 0.1, 0.9, 0), (*TRUE[:4], 0.8, 0)], 0.5, 0.5),
        (2, [(0.8, 0.8, 0.1, 0.1, 0.9, 0), (*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        # Of another class: wrong for its own class, nothing to this one.
        (2, [(*BESIDE[:4], 0.9, 1), (*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        # Not found: no miss.
        (1, [(*TRUE[:4], 0.8, 0)], 1.0, 1.0),
        # Below the score floor of VOC's figures.
        (0, [(*TRUE[:4], 0.8, 0), (*BESIDE[:4], 0.001, 0)], 0.5, 1.0),
    ],
)
def test_by_hand(flag: int, detections: list[tuple[float, ...]], voc: float, coco: float) -> None:
    truth, flags = boxes(TRUE, BESIDE), np.array([0, flag], np.uint8)
    scored = SCORER.of_images([boxes(*detections)], [truth], CLASSES, flags=[flags])  # type: ignore[arg-type]
    figures = scored.figures()
    assert (figures["map_50"], figures["coco_map_50"]) == pytest.approx((voc, coco))
    assert scored.true_counts.tolist() == [[1 + (flag == 0), 0]]
    for name, curve_ap, recall, _ in scored.curves():
        assert (name, curve_ap, recall[-1]) == ("cell", pytest.approx(voc), figures["map_50"] if not flag else 1)


def test_flags_come_from_the_prepared_split_and_old_splits_have_none(tmp_path: Path) -> None:
    found, truths, flags = drawn(5)
    specs = [
        ArraySpec(name="images", type="uint8", shape=(2, 2, 1)),
        ArraySpec(name="boxes", type="float32", shape=(4,), layout="ragged"),
        ArraySpec(name="box_classes", type="int64", shape=(), layout="ragged"),
        ArraySpec(name="box_flags", type="uint8", shape=(), layout="ragged"),
    ]
    samples = [
        {"images": np.full((2, 2, 1), place), "boxes": truth.boxes, "box_classes": truth.classes, "box_flags": flag}
        for place, (truth, flag) in enumerate(zip(truths, flags, strict=True))
    ]
    detections = {"detections": lambda _, images: [found[int(image[0, 0, 0])] for image in images]}
    predictor = Answers(lambda feed: {}, CLASSES, **detections, inputs=lambda: ("images",))
    scored = SCORER.score(predictor, frozen(tmp_path / "new", specs, samples, CLASSES), quiet)
    assert scored.figures() == pytest.approx(SCORER.of_images(found, truths, CLASSES, flags=flags).figures())
    scored = SCORER.score(predictor, frozen(tmp_path / "old", specs[:3], samples, CLASSES), quiet)
    assert scored.figures() == pytest.approx(SCORER.of_images(found, truths, CLASSES).figures())
