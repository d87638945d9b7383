"""Labels of images: checks before anything is fitted, and the metrics that belong to each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.metrics.bootstrap import example_mean
from downstream.metrics.scores import (
    Ranking,
    mean_average_precision,
    mean_over_classes,
    mean_per_class,
    top_k_hits,
)
from downstream.protocol import Measure, Metric, Predictions, fractions
from pretext.data.dataset import Split


def labels_of(split: Split) -> NDArray[Any]:
    """The labels of a split: (N,) int64, or (N, C) uint8 of 0 and 1.

    Raises:
        ValueError: no labels, another shape, a negative class, or an entry that is neither 0 nor 1;
            names the split and the example.
    """
    where = f"split {split.name!r}"
    if split.labels is None:
        raise ValueError(f"{where} has no image labels: classification needs some")
    labels = np.asarray(split.labels)
    if labels.ndim not in (1, 2) or len(labels) != len(split) or labels.dtype.kind not in "iub":
        raise ValueError(
            f"{where}: labels must be integers, (N,) or (N, C), for {len(split)} images; "
            f"got {labels.dtype} {labels.shape}"
        )
    wrong = labels < 0 if labels.ndim == 1 else (labels != 0) & (labels != 1)
    if wrong.any():
        example = int(np.argwhere(wrong)[0][0])
        meant = "a class from 0" if labels.ndim == 1 else "0 or 1 for each class"
        raise ValueError(f"{where}: example {example} has label {labels[example]}; expected {meant}")
    return labels.astype(np.int64) if labels.ndim == 1 else labels.astype(np.uint8)


def fitted_classes(train: Split) -> int:
    """Number of classes that a head fitted on `train` has.

    Raises:
        ValueError: as `labels_of`, a class without an example in train, or one class that all images have.
    """
    labels = labels_of(train)
    counts = np.bincount(labels) if labels.ndim == 1 else labels.sum(0)
    missing = np.flatnonzero(counts == 0)
    if len(labels) == 0 or missing.size:
        listed = ", ".join(map(str, missing[:10])) or "every one"
        raise ValueError(f"split {train.name!r} has no example of class {listed}: it cannot be learned")
    if labels.ndim == 1 and len(counts) < 2:
        raise ValueError(f"all images of split {train.name!r} have the same class: nothing to tell apart")
    return len(counts)


def check_labels(train: Split, *held: Split) -> None:
    """Whether a head fitted on `train` can be, and can be scored on the splits `held`.

    Raises:
        ValueError: as `fitted_classes` and `check_against`; a split to score in which several classes an
            image may be there and none is.
    """
    classes, several = fitted_classes(train), labels_of(train).ndim == 2
    for split in held:
        if not check_against(split, several, classes).any() and several:
            raise ValueError(f"no image of split {split.name!r} has a class: average precision is undefined")


def check_against(split: Split, multi_label: bool, classes: int) -> NDArray[Any]:
    """The labels of a split that is scored with a head of `classes` classes.

    Raises:
        ValueError: as `labels_of`; the other kind of labels, another number of classes, or a class that
            the head has not.
    """
    labels = labels_of(split)
    where = f"split {split.name!r}"
    if (labels.ndim == 2) is not multi_label:
        kinds = {True: "several classes an image", False: "one class an image"}
        raise ValueError(f"{where} has {kinds[not multi_label]}, train has {kinds[multi_label]}")
    if multi_label and labels.shape[1] != classes:
        raise ValueError(f"{where} has {labels.shape[1]} classes, train has {classes}")
    if not multi_label and labels.max(initial=0) >= classes:
        example = int(np.argmax(labels >= classes))
        raise ValueError(
            f"{where}: example {example} has label {labels[example]}; train has {classes} classes"
        )
    return labels


class MeanAveragePrecision:
    """mAP of rows {"scores": (N, C), "labels": (N, C)}: area under the precision-recall steps."""

    def __call__(self, rows: Predictions) -> float:
        """The metric of these rows."""
        return mean_average_precision(rows["scores"], rows["labels"])

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows, sorted once (see `downstream.metrics.bootstrap`)."""
        ranking = Ranking.of(rows["scores"], rows["labels"])
        return lambda counts: mean_over_classes(ranking.average_precision(counts))


def top_k(k: int) -> Metric:
    """Top-k accuracy of rows {"scores": (N, C), "labels": (N,)}."""
    return example_mean(lambda rows: top_k_hits(rows["scores"], rows["labels"], k))


def classification_metrics(split: Split) -> dict[str, Measure]:
    """Metrics for the labels of a split, the primary one first.

    Several classes an image: mAP. One class an image: top-1, top-5 where there are more than five classes,
    and top-1 averaged over classes.
    """
    labels = labels_of(split)
    if labels.ndim == 2:
        return fractions({"mAP": MeanAveragePrecision()})
    more = {"top5": top_k(5)} if labels.max(initial=0) >= 5 else {}
    return fractions({"top1": top_k(1), **more, "mean_per_class": _mean_per_class})


def primary(multi_label: bool) -> Metric:
    """The metric that heads are selected by."""
    return MeanAveragePrecision() if multi_label else top_k(1)


def _mean_per_class(rows: Predictions) -> float:
    return mean_per_class(rows["scores"], rows["labels"])
