"""Metrics against scikit-learn, against counting by hand, and on resamples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix, jaccard_score, recall_score

from downstream.classification.labels import MeanAveragePrecision
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.metrics.scores import (
    average_precision,
    class_iou,
    confusion,
    mean_average_precision,
    mean_per_class,
    miou,
    pixel_accuracy,
    top_k,
)
from downstream.protocol import Predictions
from downstream.segmentation.masks import mean_iou
from pretext.data.dataset import IGNORE


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    examples=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 5, 1000]),
    share=st.floats(0.05, 0.95),
)
def test_average_precision_is_scikit_learns_with_and_without_ties(
    seed: int, examples: int, levels: int, share: float
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (examples, 4)).astype(np.float32)
    labels = (generator.random((examples, 4)) < share).astype(np.uint8)
    found = average_precision(scores, labels)
    for c in range(4):
        if labels[:, c].any():
            truth = average_precision_score(labels[:, c], scores[:, c])
            assert found[c] == pytest.approx(truth, abs=1e-12)
        else:
            assert np.isnan(found[c])


def test_average_precision_by_hand() -> None:
    # Ranks: hit, miss, hit, miss → (1/1 + 2/3) / 2.
    assert average_precision(np.array([[4.0], [3], [2], [1]]), np.array([[1], [0], [1], [0]]))[0] == (
        pytest.approx(5 / 6)
    )
    # One score for all: the share of positives.
    assert average_precision(np.zeros((8, 1)), np.array([[1]] * 3 + [[0]] * 5))[0] == pytest.approx(3 / 8)


def test_mean_average_precision_leaves_out_classes_without_positives() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0]])
    scores = np.array([[2.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
    assert mean_average_precision(scores, labels) == pytest.approx((1.0 + 0.5) / 2)
    with pytest.raises(ValueError, match="no class occurs"):
        mean_average_precision(scores, np.zeros_like(labels))


def test_resampled_mean_average_precision_equals_scoring_the_resample() -> None:
    generator = np.random.default_rng(0)
    rows: Predictions = {
        "scores": generator.integers(0, 6, (50, 3)).astype(np.float32),
        "labels": (generator.random((50, 3)) < 0.3).astype(np.uint8),
    }
    draws = resamples("x", 50, 40)
    slow = bootstrap(lambda rows: mean_average_precision(rows["scores"], rows["labels"]), rows, draws)
    np.testing.assert_allclose(bootstrap(MeanAveragePrecision(), rows, draws), slow, atol=1e-12)


def test_resampled_miou_equals_scoring_the_resample() -> None:
    generator = np.random.default_rng(0)
    rows: Predictions = {"confusion": generator.poisson(0.3, (30, 4, 4)).astype(np.uint32)}
    draws = resamples("x", 30, 40)
    slow = bootstrap(lambda rows: miou(rows["confusion"]), rows, draws)
    np.testing.assert_allclose(bootstrap(mean_iou, rows, draws), slow, atol=1e-12)


def test_top_k_by_hand_and_equal_scores_by_lot() -> None:
    scores = np.array([[3.0, 2, 1, 0], [0.0, 1, 2, 3], [1.0, 1, 1, 1]])
    labels = np.array([0, 2, 3])
    assert top_k(scores, labels, 1) == pytest.approx((1 + 0 + 1 / 4) / 3)
    assert top_k(scores, labels, 2) == pytest.approx((1 + 1 + 2 / 4) / 3)
    assert top_k(scores, labels, 4) == 1.0


def test_mean_per_class_is_macro_recall() -> None:
    generator = np.random.default_rng(0)
    scores, labels = generator.random((90, 5)), generator.choice([0, 0, 0, 1, 2, 4], 90)
    truth = recall_score(labels, scores.argmax(1), labels=np.unique(labels), average="macro")
    assert mean_per_class(scores, labels) == pytest.approx(truth)


@pytest.mark.parametrize("metric", [lambda s, y: top_k(s, y, 1), mean_per_class])
def test_labels_and_scores_that_do_not_fit_are_named(metric) -> None:  # type: ignore[no-untyped-def]
    scores = np.zeros((3, 2))
    with pytest.raises(ValueError, match="example 1 has label 2; the scores have 2 classes"):
        metric(scores, np.array([0, 2, 1]))
    with pytest.raises(ValueError, match=r"must be \(N, C\) and \(N,\)"):
        metric(scores, np.array([0, 1]))
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match="scores of example 2 are not finite"):
        metric(scores, np.array([0, 1, 1]))


def test_miou_by_hand_with_unlabelled_pixels() -> None:
    target = np.array([[[0, 0, 1, IGNORE], [0, 1, 1, IGNORE]]], dtype=np.uint8)
    prediction = np.array([[[0, 1, 1, 2], [0, 1, 0, 0]]])
    matrices = confusion(prediction, target, 4)
    # Class 0: hits 2, union 2 + 1 + 1; class 1: the same; 2 is predicted on unlabelled pixels alone, 3 never.
    np.testing.assert_array_equal(matrices[0], [[2, 1, 0, 0], [1, 2, 0, 0], [0] * 4, [0] * 4])
    np.testing.assert_allclose(class_iou(matrices), [0.5, 0.5, np.nan, np.nan])
    assert miou(matrices) == pytest.approx(0.5)
    assert pixel_accuracy(matrices) == pytest.approx(4 / 6)


def test_confusion_is_scikit_learns_image_by_image() -> None:
    generator = np.random.default_rng(0)
    target = generator.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    prediction = generator.integers(0, 4, (5, 6, 7))
    matrices = confusion(prediction, target, 4)
    for image in range(5):
        truth = confusion_matrix(target[image].ravel(), prediction[image].ravel(), labels=range(4))
        np.testing.assert_array_equal(matrices[image], truth)
    pooled = jaccard_score(target.ravel(), prediction.ravel(), average=None)
    np.testing.assert_allclose(class_iou(matrices), pooled)


def test_confusion_names_what_is_out_of_range() -> None:
    target = np.zeros((3, 2, 2), dtype=np.uint8)
    target[1, 0, 1] = 7
    with pytest.raises(ValueError, match="target of image 1 has class 7; there are 4"):
        confusion(np.zeros((3, 2, 2), dtype=int), target, 4)
    with pytest.raises(ValueError, match="prediction of image 0 has class 9"):
        confusion(np.full((3, 2, 2), 9), np.zeros((3, 2, 2), dtype=np.uint8), 4)
    with pytest.raises(ValueError, match=r"both must be \(N, H, W\)"):
        confusion(np.zeros((3, 2, 2)), np.zeros((3, 2, 3)), 4)


def test_nothing_labelled_is_an_error() -> None:
    matrices = np.zeros((2, 3, 3), dtype=np.uint32)
    with pytest.raises(ValueError, match="undefined"):
        miou(matrices)
    with pytest.raises(ValueError, match="undefined"):
        pixel_accuracy(matrices)
