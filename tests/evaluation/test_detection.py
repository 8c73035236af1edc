"""Average precision against a plain reading of PASCAL VOC's rules, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.array_spec import ArraySpec
from components.core.errors import NotFiniteError
from components.evaluation.box_matching import THRESHOLDS
from components.evaluation.detection import SCORER, Detections
from components.evaluation.scorer import Arrays
from components.preprocessing.boxes import intersection_over_union
from tests.evaluation.stub_package import Answers, frozen, quiet

CLASSES = ["cell", "plate"]


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Rows of centre x, centre y, width, height, how sure, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))


def drawn(seed: int, images: int = 12) -> tuple[list[Detections], list[Detections]]:
    """True boxes, and detections near some of them, some of another class, some nowhere."""
    random = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(images):
        true = [
            (*random.uniform(0.2, 0.8, 2), *random.uniform(0.1, 0.3, 2), 1.0, int(random.integers(2)))
            for _ in range(random.integers(0, 5))
        ]
        near = []
        for row in true:
            for _ in range(random.integers(0, 3)):
                kind = row[5] if random.random() < 0.9 else 1 - row[5]
                near.append((*(np.array(row[:4]) * random.normal(1, 0.06, 4)), random.random(), kind))
        nowhere = (*random.uniform(0.2, 0.8, 2), 0.1, 0.1, random.random(), int(random.integers(2)))
        lost = [nowhere] * int(random.integers(2))
        found.append(boxes(*near, *lost))
        truths.append(boxes(*true))
    return found, truths


def voc(found: list[Detections], truths: list[Detections], kind: int, threshold: float) -> float:
    """As the development kit has it: detection by detection, then the area below the envelope."""
    rows = sorted(
        ((score, image, box) for image, one in enumerate(found)
         for box, score, of in zip(one.boxes, one.scores, one.classes, strict=True) if of == kind),
        key=lambda row: -row[0],
    )  # fmt: skip
    total = sum(int((truth.classes == kind).sum()) for truth in truths)
    taken: set[tuple[int, int]] = set()
    right = []
    for _, image, box in rows:
        best, at = 0.0, -1
        for place in np.flatnonzero(truths[image].classes == kind).tolist():
            shared = plain_overlap(box.tolist(), truths[image].boxes[place].tolist())
            if (image, place) not in taken and shared > best:
                best, at = shared, place
        right.append(best >= threshold)
        if best >= threshold:
            taken.add((image, at))
    area, recall = 0.0, 0.0
    precisions = [sum(right[: place + 1]) / (place + 1) for place in range(len(right))]
    for place in range(len(right)):
        now = sum(right[: place + 1]) / total
        area += (now - recall) * max(precisions[place:])
        recall = now
    return area


def plain_overlap(one: list[float], other: list[float]) -> float:
    sides = []
    for axis in (0, 1):
        low = max(one[axis] - one[axis + 2] / 2, other[axis] - other[axis + 2] / 2)
        high = min(one[axis] + one[axis + 2] / 2, other[axis] + other[axis + 2] / 2)
        sides.append(max(0.0, high - low))
    shared = sides[0] * sides[1]
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


@pytest.mark.parametrize("seed", range(4))
def test_against_the_rules_of_voc(seed: int) -> None:
    found, truths = drawn(seed)
    scored = SCORER.of_images(found, truths, CLASSES)
    expected = [[voc(found, truths, kind, threshold) for threshold in THRESHOLDS] for kind in (0, 1)]
    np.testing.assert_allclose(scored.average_precision, expected, atol=1e-12)
    figures = scored.figures()
    assert figures["map_50"] == pytest.approx(np.mean([row[0] for row in expected]))
    assert figures["map_50_95"] == pytest.approx(np.mean(expected))


def test_by_hand() -> None:
    """Right, wrong, right of three true boxes: precision 1 up to recall 1/3, 2/3 up to 2/3, then none."""
    truth = boxes((0.2, 0.2, 0.2, 0.2, 1, 0), (0.5, 0.5, 0.2, 0.2, 1, 0), (0.8, 0.8, 0.2, 0.2, 1, 0))
    found = boxes((0.2, 0.2, 0.2, 0.2, 0.9, 0), (0.2, 0.2, 0.2, 0.2, 0.8, 0), (0.5, 0.5, 0.2, 0.2, 0.7, 0))
    scored = SCORER.of_images([found], [truth], CLASSES)
    assert scored.average_precision[0, 0] == pytest.approx((1 + 2 / 3) / 3)
    assert scored.figures()["map_50"] == pytest.approx((1 + 2 / 3) / 3), "a class without true boxes does not count"
    assert [part.name for part in scored.slices()] == ["cell"]


def test_overlap_by_hand() -> None:
    one = np.array([[0.5, 0.5, 0.2, 0.2]])
    others = np.array([[0.5, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(intersection_over_union(one, others), [[1, 1 / 3, 0, 0]], atol=1e-12)


def test_an_image_drawn_twice_counts_twice() -> None:
    found, truths = drawn(1)
    scored = SCORER.of_images(found, truths, CLASSES)
    weights = np.random.default_rng(0).integers(0, 3, (5, len(found)))
    for metric in ("map_50", "map_50_95"):
        for row, value in zip(weights, scored.resampled(metric, weights.astype(np.float64)), strict=True):
            chosen = np.repeat(np.arange(len(found)), row)
            again = SCORER.of_images([found[at] for at in chosen], [truths[at] for at in chosen], CLASSES)
            assert value == pytest.approx(again.figures()[metric], abs=1e-9)


def test_beside_another_is_all_images_of_both() -> None:
    (first, truths), (second, _) = drawn(1), drawn(2)
    one, other = (SCORER.of_images(found, truths, CLASSES) for found in (first, second))
    both = SCORER.of_images([*first, *second], [*truths, *truths], CLASSES)
    assert one.concatenate(other).figures() == pytest.approx(both.figures())
    assert not one.differs(one).any()
    assert one.differs(other).any()


def test_it_asks_the_processor_and_classes_meet_by_name(tmp_path: Path) -> None:
    found, truths = drawn(3)
    specs = [
        ArraySpec(name="images", type="uint8", shape=(2, 2, 1)),
        ArraySpec(name="boxes", type="float32", shape=(4,), layout="ragged"),
        ArraySpec(name="box_classes", type="int64", shape=(), layout="ragged"),
    ]
    samples = [
        {"images": np.full((2, 2, 1), place), "boxes": truth.boxes, "box_classes": truth.classes}
        for place, truth in enumerate(truths)
    ]

    def detections(_: object, images: np.ndarray) -> list[Detections]:
        places = [int(image[0, 0, 0]) for image in images]
        if 5 in places:
            raise NotFiniteError("not finite")
        return [found[place]._replace(classes=1 - found[place].classes) for place in places]

    def no_graph(feed: Arrays) -> Arrays:
        raise AssertionError("the processor runs the graph")

    asked = Answers(no_graph, CLASSES[::-1], detections=detections, inputs=lambda: ("images",))
    scored = SCORER.score(asked, frozen(tmp_path, specs, samples, CLASSES), quiet)
    found[5] = boxes()
    assert scored.not_finite == 1
    assert scored.figures() == pytest.approx(SCORER.of_images(found, truths, CLASSES).figures())
    scored.draw(tmp_path / "plots")
    assert (tmp_path / "plots" / "precision_recall.png").stat().st_size > 3000
    assert scored.card_lines().results[2].startswith("| cell | ")
