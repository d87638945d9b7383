"""VOC's average precision of classification: by hand, against scikit-learn, resampled, without difficult."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from downstream.classification.voc_ap import (
    average_precisions,
    difficult_of,
    step_ap,
    voc_ap_11point,
    voc_ap_area,
    with_difficult,
)
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.metrics.interpolation import area_interpolation
from downstream.protocol import Predictions, take
from pretext.data.dataset import Boxes, Split
from pretext.data.split import make_split


def ranked(*hits: int) -> Predictions:
    """One class, scores falling."""
    return {"scores": -np.arange(len(hits), dtype=np.float32)[:, None], "labels": np.array(hits)[:, None]}


def test_by_hand() -> None:
    # Precision at the hits 1/2, 2/3, 3/6: the envelope lifts the first to 2/3.
    rows = ranked(0, 1, 1, 0, 0, 1)
    assert step_ap(rows) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3)
    assert voc_ap_area(rows) == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)
    # Recalls 0, .1, …, .6 are reached at 2/3, the other four at 1/2.
    assert voc_ap_11point(rows) == pytest.approx((7 * 2 / 3 + 4 / 2) / 11)
    perfect = ranked(1, 1, 0, 0)
    assert [metric(perfect) for metric in (voc_ap_area, voc_ap_11point, step_ap)] == [1.0, 1.0, 1.0]
    # One threshold for all: the share of positives.
    tied: Predictions = {"scores": np.zeros((8, 1)), "labels": np.array([[1]] * 3 + [[0]] * 5)}
    for metric in (voc_ap_area, voc_ap_11point, step_ap):
        assert metric(tied) == pytest.approx(3 / 8)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), examples=st.integers(2, 60), levels=st.sampled_from([1, 2, 5, 1000]))
def test_steps_and_area_are_scikit_learns(seed: int, examples: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (examples, 3)).astype(np.float32)
    positive = generator.random((examples, 3)) < 0.4
    counted = generator.random((examples, 3)) < 0.8
    steps = average_precisions(scores, positive, counted)
    areas = average_precisions(scores, positive, counted, area_interpolation)
    for c in range(3):
        kept = counted[:, c]
        if not positive[kept, c].any():
            assert np.isnan(steps[c])
            assert np.isnan(areas[c])
            continue
        assert steps[c] == pytest.approx(average_precision_score(positive[kept, c], scores[kept, c]))
        precision, recall, _ = precision_recall_curve(positive[kept, c], scores[kept, c])
        envelope = np.maximum.accumulate(precision[:-1])  # recall falls along the array
        assert areas[c] == pytest.approx(-(np.diff(recall) * envelope).sum())


def test_a_resample_is_scored_as_its_rows() -> None:
    generator = np.random.default_rng(0)
    rows: Predictions = {
        "scores": generator.integers(0, 6, (40, 3)).astype(np.float32),
        "labels": (generator.random((40, 3)) < 0.4).astype(np.uint8),
        "difficult": generator.random((40, 3)) < 0.1,
    }
    draws = resamples("x", 40, 30)
    for metric in (voc_ap_area, voc_ap_11point, step_ap):
        slow = [metric(take(rows, draw)) for draw in draws]
        np.testing.assert_allclose(bootstrap(metric, rows, draws), slow, atol=1e-12)


def test_single_labels_are_one_class_against_the_rest() -> None:
    scores = np.random.default_rng(0).normal(size=(30, 4))
    labels = np.arange(30) % 4
    several: Predictions = {"scores": scores, "labels": np.eye(4, dtype=np.uint8)[labels]}
    assert voc_ap_area({"scores": scores, "labels": labels}) == voc_ap_area(several)


def boxed(labels: list[list[int]], objects: list[list[tuple[int, bool]]]) -> Split:
    """Images with these multi-hot labels and objects (class, difficult)."""
    flat = [thing for image in objects for thing in image]
    boxes = Boxes(
        np.cumsum([0, *map(len, objects)]),
        np.tile(np.array([0, 0, 4, 4], np.float32), (len(flat), 1)),
        np.array([c for c, _ in flat]),
        np.array([hard for _, hard in flat]),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    return make_split("test", pixels, labels=np.array(labels, np.uint8), boxes=boxes)


def test_classes_shown_by_difficult_objects_alone_are_left_out() -> None:
    split = boxed(
        [[1, 0], [0, 1], [0, 0], [1, 0]],
        [[(0, False), (0, True)], [(1, False), (0, True)], [], [(0, False), (1, True)]],
    )
    found = difficult_of(split)
    assert found is not None
    assert found.tolist() == [[False, False], [True, False], [False, False], [False, True]]
    scores = np.array([[1, 0], [2, 1], [0, 0], [0.5, 2]], np.float32)
    rows: Predictions = {"scores": scores, "labels": np.asarray(split.labels)}
    assert voc_ap_area(rows) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert voc_ap_area(with_difficult(rows, split)) == 1.0


def test_nothing_is_left_out_where_nothing_is_difficult_or_boxes_name_other_things() -> None:
    assert difficult_of(boxed([[1, 0]], [[(0, False)]])) is None
    assert difficult_of(boxed([[1, 1]], [[(0, True), (1, False)]])) is None  # a crowd counts as there
    assert difficult_of(boxed([[1, 0], [1, 0]], [[(1, False)], [(0, True)]])) is None
    assert difficult_of(boxed([[1, 0], [1, 0]], [[(0, False)], [(2, True)]])) is None
