"""Boxes: read, looked at, suppressed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import boxes, image_file


def box(label: str, xmin: float, ymin: float, xmax: float, ymax: float) -> dict[str, object]:
    return {"label": label, "xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


def test_corners_in_pixels_become_centres_and_sides() -> None:
    found, labels = boxes.read([box("a", 10, 20, 30, 40), box("b", 0, 0, 100, 50)], 100, 50)
    assert found == pytest.approx(np.asarray([[0.2, 0.6, 0.2, 0.4], [0.5, 0.5, 1, 1]]))
    assert found.dtype == np.float32
    assert labels == ["a", "b"]
    assert boxes.corners_of(found)[0] == pytest.approx([0.1, 0.4, 0.3, 0.8])


def test_what_is_beyond_the_image_is_cut_and_what_has_no_area_is_left_out() -> None:
    found, labels = boxes.read(
        [box("cut", 90, -5, 120, 10), box("flat", 5, 5, 5, 9), box("turned", 9, 9, 3, 3), box("away", 101, 0, 120, 9)],
        100, 50,
    )  # fmt: skip
    assert labels == ["cut"]
    assert found == pytest.approx(np.asarray([[0.95, 0.1, 0.1, 0.2]]))


def test_no_boxes_are_boxes_too() -> None:
    found, labels = boxes.read([], 10, 10)
    assert (found.shape, labels) == ((0, 4), [])
    assert boxes.describe([], 10, 10) == {"boxes": 0, "degenerate": 0, "outside": 0, "least_side": 0.0}


@pytest.mark.parametrize("wrong", [None, 3, [3], [{"label": "a"}], [box("a", float("nan"), 0, 1, 1)]])
def test_what_is_no_box_is_refused_and_seen(wrong: object) -> None:
    with pytest.raises(SampleError, match="box"):
        boxes.read(wrong, 10, 10)
    assert boxes.describe(wrong, 10, 10)["boxes"] == -1


def test_facts_of_boxes() -> None:
    seen = boxes.describe(
        [box("a", 0, 0, 4, 9), box("a", 5, 5, 5, 9), box("b", -3, 0, 4, 4), box("b", 5, 5, 11, 11)], 10, 10
    )
    assert seen == {"boxes": 4, "degenerate": 1, "outside": 1, "least_side": 0.0}
    assert tuple(seen) == boxes.DESCRIBED


def test_intersection_over_union() -> None:
    one = np.asarray([[0.5, 0.5, 1, 1], [0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0, 0]])
    found = boxes.intersection_over_union(one, one)
    assert found == pytest.approx(np.asarray([[1, 0.25, 0], [0.25, 1, 0], [0, 0, 0]]))


def test_suppression_is_the_greedy_one() -> None:
    """Against the textbook's loop, over random boxes."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        candidates = np.concatenate([rng.random((40, 2)), rng.random((40, 2)) * 0.5], axis=1)
        scores = rng.random((40, 3))
        overlaps = boxes.intersection_over_union(candidates, candidates)
        found = boxes.non_max_suppression(
            candidates, scores, score_threshold=0.3, iou_threshold=0.3, max_detections=1000
        )
        expected: list[tuple[float, int, int]] = []
        for score, place, kind in sorted(
            ((scores[place, kind], place, kind) for place in range(40) for kind in range(3)), reverse=True
        ):
            over = [overlaps[place, other] for _, other, their_kind in expected if their_kind == kind]
            if score >= 0.3 and all(share <= 0.3 for share in over):
                expected.append((score, place, kind))
        assert found.scores == pytest.approx([score for score, _, _ in expected])
        assert found.classes.tolist() == [kind for _, _, kind in expected]
        assert found.boxes == pytest.approx(candidates[[place for _, place, _ in expected]])


def test_at_most_so_many_remain_the_surest_ones() -> None:
    candidates = np.asarray([[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]])
    found = boxes.non_max_suppression(
        candidates, np.asarray([[0.5], [0.9], [0.7]]), score_threshold=0.1, iou_threshold=0.5, max_detections=2
    )
    assert found.scores == pytest.approx([0.9, 0.7])
    none = boxes.non_max_suppression(
        candidates, np.zeros((3, 1)), score_threshold=0.1, iou_threshold=0.5, max_detections=2
    )
    assert (none.boxes.shape, none.scores.shape, none.classes.shape) == ((0, 4), (0,), (0,))


def test_a_photo_on_its_side_has_the_size_that_people_see() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (30, 20)).save(stream, "JPEG", exif=exif)
    assert image_file.size(stream.getvalue()) == (20, 30)
    stream = io.BytesIO()
    Image.new("RGB", (30, 20)).save(stream, "JPEG")
    assert image_file.size(stream.getvalue()) == (30, 20)
