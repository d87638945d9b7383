"""Matching and average precision against pycocotools, faster-coco-eval, a slow reference and hand work."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from downstream.detection import matching
from downstream.detection.average_precision import (
    BY_SIZE,
    METRICS,
    ap50,
    ap75,
    coco_ap,
    voc_ap_11point,
    voc_ap_area,
)
from downstream.detection.matching import IOU_THRESHOLDS, Detections, count_targets, detection_rows
from downstream.protocol import Predictions, take
from downstream.selection import Diverged
from pretext.data.dataset import Boxes


def make_boxes(*images: list[tuple[Any, ...]]) -> Boxes:
    """Each image a list of (x1, y1, x2, y2, label[, difficult])."""
    flat = [box for image in images for box in image]
    return Boxes(
        np.cumsum([0, *map(len, images)]),
        np.array([b[:4] for b in flat], np.float32).reshape(-1, 4),
        np.array([b[4] for b in flat], np.int64),
        np.array([len(b) > 5 and b[5] for b in flat], np.bool_),
    )


def make_detections(*images: list[tuple[Any, ...]]) -> Detections:
    """Each image a list of (x1, y1, x2, y2, label, score)."""
    flat = [box for image in images for box in image]
    return Detections(
        np.cumsum([0, *map(len, images)]),
        np.array([b[:4] for b in flat], np.float32).reshape(-1, 4),
        np.array([b[4] for b in flat], np.int64),
        np.array([b[5] for b in flat], np.float32),
    )


def random_problem(
    seed: int, images: int = 40, classes: int = 4, most: int = 12, difficult: float = 0.0
) -> tuple[Detections, Boxes]:
    """Coarse boxes and few score levels, so that overlaps and scores tie; a third of the images is empty."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        objects = []
        for _ in range(rng.integers(0, 6) if rng.random() > 0.33 else 0):
            corner, side = rng.integers(0, 40, 2), rng.integers(4, 20, 2)
            objects.append((*corner, *(corner + side), rng.integers(classes - 1), rng.random() < difficult))
        truth.append(objects)
        guesses = []
        for _ in range(rng.integers(0, most)):
            if objects and rng.random() < 0.7:
                source = objects[rng.integers(len(objects))]
                box, label = np.array(source[:4]) + rng.integers(-1, 2, 4), source[4]
            else:
                corner = rng.integers(0, 40, 2)
                box, label = np.concatenate([corner, corner + rng.integers(4, 20, 2)]), rng.integers(classes)
            guesses.append((*box, label, rng.integers(1, 20) / 20))
        found.append(guesses)
    return make_detections(*found), make_boxes(*truth)


def coco_oracle(
    coco_class: Any, eval_class: Any, found: Detections, truth: Boxes, classes: int
) -> tuple[float, ...]:
    """AP, AP50, AP75, AP of small, medium and large objects by a library; difficult objects are crowds."""
    images = len(truth.offsets) - 1
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(images):
        for box, label, crowd in zip(*truth.of(image), strict=True):
            x, y, right, bottom = map(float, box)
            size = [x, y, right - x, bottom - y]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image + 1,
                    "category_id": int(label),
                    "bbox": size,
                    "area": size[2] * size[3],
                    "iscrowd": int(crowd),
                }
            )
        for box, label, score in zip(*found.of(image), strict=True):
            x, y, right, bottom = map(float, box)
            results.append(
                {
                    "image_id": image + 1,
                    "category_id": int(label),
                    "bbox": [x, y, right - x, bottom - y],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_class()
        coco.dataset = {
            "images": [{"id": i + 1, "width": 64, "height": 64} for i in range(images)],
            "annotations": annotations,
            "categories": [{"id": c, "name": str(c)} for c in range(classes)],
            "info": {},
        }
        coco.createIndex()
        evaluation = eval_class(coco, coco.loadRes(results), iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return tuple(float(value) for value in evaluation.stats[:6])


LIBRARIES = pytest.mark.parametrize(
    "oracle", [(COCO, COCOeval), (FasterCOCO, COCOeval_faster)], ids=["pycocotools", "faster"]
)


@pytest.mark.parametrize("seed", range(6))
@LIBRARIES
def test_equals_the_libraries(seed: int, oracle: tuple[Any, Any]) -> None:
    found, truth = random_problem(seed)
    rows = detection_rows(found, truth, 4)
    expected = coco_oracle(*oracle, found, truth, 4)
    assert 0.05 < expected[0] < 0.9
    assert (coco_ap(rows), ap50(rows), ap75(rows)) == pytest.approx(expected[:3], abs=1e-6)


def enlarged(boxes: Any, factors: tuple[int, ...], seed: int) -> Any:
    """The same boxes, those of each image enlarged by one of these factors."""
    drawn = np.random.default_rng(seed).choice(factors, len(boxes.offsets) - 1).astype(np.float32)
    xyxy = boxes.xyxy * drawn[matching.owner(boxes.offsets)][:, None]
    return boxes._replace(xyxy=xyxy) if isinstance(boxes, Detections) else replace(boxes, xyxy=xyxy)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crowds", [0.0, 0.3], ids=["plain", "crowds"])
@LIBRARIES
def test_equals_the_libraries_by_size_and_with_crowds(
    seed: int, crowds: float, oracle: tuple[Any, Any]
) -> None:
    """Empty images, ties of score and overlap, sizes on both sides of 32² and 96², some exactly there."""
    found, truth = random_problem(seed, images=60, difficult=crowds)
    found, truth = (enlarged(boxes, (1, 2, 4, 8, 16), seed) for boxes in (found, truth))
    for boxes in (found, truth):
        boxes.xyxy[:2] = [(0, 0, 32, 32), (0, 0, 96, 96)]
    truth = replace(truth, crowds=crowds > 0)
    rows = detection_rows(found, truth, 4)
    expected = coco_oracle(*oracle, found, truth, 4)
    assert all(0.02 < value < 0.95 for value in expected)
    got = (coco_ap(rows), ap50(rows), ap75(rows), *(metric(rows) for metric in BY_SIZE.values()))
    assert got == pytest.approx(expected, abs=1e-6)
    if crowds:
        # Without their flag the same boxes overlap by IoU, as VOC's difficult objects do.
        plain = detection_rows(found, replace(truth, crowds=False), 4)
        assert not np.array_equal(plain["ignored"], rows["ignored"])
        assert np.array_equal(plain["voc_ignored"], rows["voc_ignored"])


@pytest.mark.parametrize("side", [32, 96])
def test_an_object_on_the_border_of_two_sizes_is_of_both(side: int) -> None:
    truth = make_boxes([(0, 0, side, side, 0)])
    rows = detection_rows(make_detections([(0, 0, side, side, 0, 0.9)]), truth, 1)
    sizes = {size for size in BY_SIZE if count_targets(truth, 1, matching.SIZES[size]).any()}
    assert sizes == ({"below_32px", "32_to_96px"} if side == 32 else {"32_to_96px", "above_96px"})
    assert all(BY_SIZE[size](rows) == 1.0 for size in sizes)


def test_a_crowd_excuses_what_lies_on_it_and_a_difficult_object_what_equals_it() -> None:
    truth = make_boxes([(0, 0, 40, 40, 0, True), (60, 60, 70, 70, 0)])
    found = make_detections([(0, 0, 8, 8, 0, 0.9), (10, 10, 18, 18, 0, 0.8), (60, 60, 70, 70, 0, 0.5)])
    crowd = detection_rows(found, replace(truth, crowds=True), 1)
    assert crowd["ignored"][0, :, 0].tolist() == [True, True, False]
    assert coco_ap(crowd) == 1.0
    difficult = detection_rows(found, truth, 1)
    assert not difficult["ignored"].any()
    assert coco_ap(difficult) == pytest.approx(1 / 3)


def test_an_object_of_another_size_excuses_one_detection() -> None:
    """Among small objects: what takes a medium one is ignored, once; then what is small itself is false."""
    truth = make_boxes([(0, 0, 40, 40, 0), (60, 60, 70, 70, 0)])
    twice = [(0, 0, 40, 40, 0, 0.9), (0, 0, 40, 31, 0, 0.8), (0, 0, 32, 31, 0, 0.7), (60, 60, 70, 70, 0, 0.5)]
    rows = detection_rows(make_detections(twice), truth, 1)
    # 40 × 31 is medium itself; 32 × 31 is small and overlaps the object that is gone.
    assert rows["ignored_below_32px"][0, :, 0].tolist() == [True, True, False, False]
    assert rows["matched_below_32px"][0, :, 0].tolist() == [False, False, False, True]
    assert BY_SIZE["below_32px"](rows) == pytest.approx(0.5)


def test_equals_pycocotools_beyond_a_hundred_detections_an_image() -> None:
    found, truth = random_problem(7, images=6, classes=2, most=300)
    rows = detection_rows(found, truth, 2)
    assert np.diff(found.offsets).max() > rows["scores"].shape[1] >= 100
    assert coco_ap(rows) == pytest.approx(coco_oracle(COCO, COCOeval, found, truth, 2)[0], abs=1e-6)


def slow_iou(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def slow_outcomes(found: Detections, truth: Boxes, image: int, threshold: float, voc: bool) -> list[str]:
    """Outcome of each detection of one image by falling score, object by object."""
    boxes, labels, scores = found.of(image)
    objects, object_labels, difficult = truth.of(image)
    taken: set[int] = set()
    outcomes = []
    for d in np.argsort(-scores, kind="stable"):
        same = [g for g in range(len(objects)) if object_labels[g] == labels[d]]
        iou = {g: slow_iou(boxes[d].astype(float), objects[g].astype(float)) for g in same}
        if voc:
            best = max(same, key=lambda g: (iou[g], -g), default=None)
            if best is None or iou[best] < threshold:
                outcomes.append("false")
            elif difficult[best]:
                outcomes.append("ignored")
            else:
                outcomes.append("false" if best in taken else "true")
                taken.add(best)
            continue
        open_objects = [g for g in same if iou[g] >= threshold and not difficult[g] and g not in taken]
        if open_objects:
            taken.add(max(open_objects, key=lambda g: (iou[g], g)))
            outcomes.append("true")
        else:
            excused = any(iou[g] >= threshold and difficult[g] for g in same)
            outcomes.append("ignored" if excused else "false")
    return outcomes


@pytest.mark.parametrize("seed", range(3))
def test_matching_equals_a_slow_reference_with_difficult_objects(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_CHUNK", 7)  # several chunks, the last one short
    found, truth = random_problem(seed, difficult=0.4)
    rows = detection_rows(found, truth, 4)
    seen = set()
    for image in range(len(truth.offsets) - 1):
        count = int((rows["classes"][image] >= 0).sum())
        for name, voc, thresholds in (("", False, IOU_THRESHOLDS), ("voc_", True, np.array([0.5]))):
            for t, threshold in enumerate(thresholds):
                hit = rows[name + "matched"][image, :count, t]
                excused = rows[name + "ignored"][image, :count, t]
                got = np.where(hit, "true", np.where(excused, "ignored", "false")).tolist()
                assert got == slow_outcomes(found, truth, image, threshold, voc)
                seen.update(got)
    assert seen == {"true", "false", "ignored"}


# One object a letter, well apart; a box beside them finds nothing.
A, B, C, NOWHERE = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (0, 40, 10, 50)


def test_true_boxes_score_one() -> None:
    _, truth = random_problem(3, difficult=0.2)
    found = Detections(truth.offsets, truth.xyxy, truth.labels, np.ones(len(truth.labels), np.float32))
    rows = detection_rows(found, truth, 4)
    assert {name: metric(rows) for name, metric in METRICS.items()} == dict.fromkeys(METRICS, 1.0)


def test_hand_worked_curve() -> None:
    truth = make_boxes([(*A, 0), (*B, 0), (*C, 0)])
    order = [A, NOWHERE, B, NOWHERE]  # true, false, true, false; one object is never found
    found = make_detections([(*box, 0, 0.9 - i / 10) for i, box in enumerate(order)])
    rows = detection_rows(found, truth, 1)
    # Recall 1/3 at precision 1, recall 2/3 at precision 2/3.
    assert voc_ap_area(rows) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert voc_ap_11point(rows) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)  # 0–.3 and .4–.6
    assert ap50(rows) == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)  # 0–.33 and .34–.66


def test_eleven_points_count_a_recall_that_is_met_exactly() -> None:
    truth = make_boxes(*[[(*A, 0)]] * 10)
    found = make_detections(*[[(*A, 0, 0.5)]] * 3, *[[]] * 7)  # recall .3
    assert voc_ap_11point(detection_rows(found, truth, 1)) == pytest.approx(4 / 11)


def test_second_detection_of_an_object_is_false() -> None:
    truth = make_boxes([(*A, 0)])
    twice = detection_rows(make_detections([(*A, 0, 0.9), (*A, 0, 0.8)]), truth, 1)
    assert twice["matched"][0, :, 0].tolist() == [True, False]
    assert twice["voc_matched"][0, :, 0].tolist() == [True, False]
    worse_first = detection_rows(make_detections([(*A, 0, 0.8), (*NOWHERE, 0, 0.9)]), truth, 1)
    assert voc_ap_area(worse_first) == pytest.approx(0.5)


def test_equal_overlaps_take_the_later_object_and_leave_the_other_free() -> None:
    # The first detection overlaps both objects alike; the second overlaps only one of them.
    truth = make_boxes([(0, 0, 10, 10, 0), (4, 0, 14, 10, 0)])
    middle, left = (2, 0, 12, 10, 0, 0.9), (-2, 0, 8, 10, 0, 0.8)
    rows = detection_rows(make_detections([middle, left]), truth, 1)
    assert rows["matched"][0, :, 0].tolist() == [True, True]
    # The development kit gives the first detection the earlier object, which the second then finds taken.
    assert rows["voc_matched"][0, :, 0].tolist() == [True, False]


def test_an_iou_that_equals_the_threshold_matches() -> None:
    rows = detection_rows(make_detections([(0, 0, 10, 5, 0, 0.9)]), make_boxes([(*A, 0)]), 1)
    assert rows["matched"][0, 0].tolist() == [True] + [False] * 9
    assert rows["voc_matched"][0, 0, 0]


def test_difficult_objects_neither_reward_nor_punish() -> None:
    truth = make_boxes([(*A, 0, True), (*B, 0)])
    without = make_detections([(*B, 0, 0.5)])
    with_difficult = make_detections([(*A, 0, 0.9), (*A, 0, 0.8), (*B, 0, 0.5)])
    for metric in METRICS.values():
        assert metric(detection_rows(without, truth, 1)) == 1.0
        assert metric(detection_rows(with_difficult, truth, 1)) == 1.0
    assert count_targets(truth, 1).tolist() == [[1]]


def test_another_class_is_no_match_and_absent_classes_do_not_count() -> None:
    truth = make_boxes([(*A, 0)])
    assert coco_ap(detection_rows(make_detections([(*A, 1, 0.9)]), truth, 3)) == 0.0
    assert coco_ap(detection_rows(make_detections([(*A, 0, 0.9), (*B, 2, 1.0)]), truth, 3)) == 1.0


def test_nothing_found_scores_zero_and_nothing_to_find_is_undefined() -> None:
    truth, nothing = make_boxes([(*A, 0)], []), make_detections([], [])
    rows = detection_rows(nothing, truth, 1)
    assert rows["scores"].shape == (2, 0)
    assert [metric(rows) for metric in METRICS.values()] == [0.0] * 5
    assert np.isnan(coco_ap(take(rows, np.array([1, 1]))))
    only_false = detection_rows(make_detections([(*A, 0, 1.0)]), make_boxes([]), 1)
    assert np.isnan(coco_ap(only_false))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_counts_equal_drawn_rows_in_any_order(seed: int) -> None:
    found, truth = random_problem(seed % 1000, images=15, difficult=0.2)
    rows = detection_rows(found, truth, 4)
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 15, 15)
    drawn: Predictions = take(rows, index)
    for metric in (*METRICS.values(), *BY_SIZE.values()):
        by_count = metric.counted(rows)(np.bincount(index, minlength=15))
        assert metric(drawn) == pytest.approx(by_count, abs=1e-12, nan_ok=True)
        assert metric(take(drawn, rng.permutation(15))) == pytest.approx(by_count, abs=1e-12, nan_ok=True)


def test_bad_detections_are_named() -> None:
    truth = make_boxes([(*A, 0)], [(*B, 1)])
    with pytest.raises(ValueError, match="3 images were given for 2"):
        detection_rows(make_detections([], [], []), truth, 2)
    with pytest.raises(ValueError, match=r"labels of detections must lie in \[0, 2\); got 2 to 2"):
        detection_rows(make_detections([(*A, 2, 0.5)], []), truth, 2)
    with pytest.raises(ValueError, match=r"labels of objects must lie in \[0, 1\)"):
        detection_rows(make_detections([], []), truth, 1)
    with pytest.raises(Diverged, match="detections of image 1 have a score or a box that is not finite"):
        detection_rows(make_detections([], [(*A, 0, float("nan"))]), truth, 2)
