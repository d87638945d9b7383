"""Softmax heads on sampled pixels, one a setting and logit adjustment, each scored on pixels of val."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.features.extraction import extract
from downstream.features.pooling import PixelSample
from downstream.heads.linear_grid import LinearGrid, LinearHead
from downstream.metrics.scores import confusion, miou
from downstream.protocol import Runtime, Trial
from downstream.segmentation.masks import image_size, masks_of
from pretext.data.dataset import IGNORE, Split
from pretext.encoder import Encoder


class Choice(NamedTuple):
    """A head with the setting it was fitted by and its score on val."""

    trial: Trial
    head: LinearHead


class Pixels(NamedTuple):
    """Sampled pixels of a split.

    features: (N·count, C) by stage. classes: (N·count,), −1 if unlabelled. positions: (N·count,) flat,
    row-major in the image.
    """

    features: dict[str, NDArray[Any]]
    classes: NDArray[np.int64]
    positions: NDArray[np.int64]


def sampled(encoder: Encoder, split: Split, count: int, stages: Sequence[str], runtime: Runtime) -> Pixels:
    """Features of each stage at `count` pixels an image, and the classes there."""
    sample = PixelSample(*image_size(split), count)
    features = extract(encoder, split, (sample,), runtime, stages)
    flat = np.asarray(masks_of(split)).reshape(len(split), -1)
    positions = sample.positions(torch.arange(len(split))).numpy()
    classes = np.take_along_axis(flat, positions, 1).astype(np.int64)
    classes[classes == IGNORE] = -1
    rows = {key.stage: values.reshape(-1, values.shape[2]) for key, values in features.items()}
    return Pixels(rows, classes.ravel(), positions.ravel())


def fit_heads(
    stage: str,
    grid: LinearGrid,
    adjustments: Sequence[float],
    train: tuple[NDArray[Any], NDArray[np.int64]],
    val: tuple[NDArray[Any], NDArray[np.int64]],
    classes: int,
    runtime: Runtime,
) -> Iterator[Choice]:
    """Fit all settings of the grid at once and yield each with each adjustment, scored by mIoU on val.

    Args:
        stage: what the trials are filed under.
        adjustments: values of τ; τ · log(share of the class in train) is taken off its logit (logit
            adjustment, arXiv:2007.07314).
        train, val: features (P, D) and classes (P,) of pixels, −1 where unlabelled.
    """
    features, wanted = train
    fitted = grid.fit(features, wanted, classes, runtime.device, runtime.seed)
    log_share = _log_share(wanted, classes)
    for (p, setting), tau in product(enumerate(grid.settings), adjustments):
        plain = fitted.select(p)
        head = replace(plain, bias=plain.bias - tau * log_share.to(plain.bias))
        yield Choice(Trial(stage, {**setting._asdict(), "adjustment": tau}, score(head, *val)), head)


def score(head: LinearHead, features: NDArray[Any], classes: NDArray[np.int64]) -> float:
    """Return mIoU over the labelled ones of these pixels; NaN for a head that diverged."""
    logits = head.logits(features)
    if not np.isfinite(logits).all():
        return math.nan
    predicted = logits.argmax(1)[None, None]  # as one image of one row
    target = np.where(classes < 0, IGNORE, classes)[None, None]
    return miou(confusion(predicted, target, len(head.bias)))


def convolve(head: LinearHead, features: Tensor) -> Tensor:
    """Logits (B, K, h, w) of maps (B, C, h, w): the head as a 1×1 convolution."""
    logits = head.of(features.permute(0, 2, 3, 1).flatten(0, 2))  # (B·h·w, K)
    return logits.view(len(features), *features.shape[2:], -1).permute(0, 3, 1, 2)


def _log_share(classes: NDArray[np.int64], count: int) -> Tensor:
    """Log share (K,) of each class among labelled pixels, one pixel added to each."""
    shares = torch.bincount(torch.from_numpy(classes[classes >= 0]), minlength=count) + 1
    return (shares / shares.sum()).log()
