"""What an ImageNet classifier says of coloured images, by a classifier whose answers are plain to see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from downstream.colorization.interpretability import (
    TOGETHER,
    SemanticInterpretability,
    classes_of,
    interpreted,
)
from downstream.protocol import take
from pretext.data.dataset import Split

CPU = torch.device("cpu")


def by_channel(rgb: Tensor) -> Tensor:
    """Class 0, 1 or 2: the brightest channel; class 3 never."""
    means = rgb.mean((2, 3))
    return torch.cat([means, torch.zeros_like(means[:, :1])], 1)


def pictures(*channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = np.full((len(channels), 4, 5, 3), 10, np.uint8)
    for picture, channel in zip(found, channels, strict=True):
        picture[..., channel] = 200
    return found


def test_pictures_are_classified_in_their_order_whatever_their_number() -> None:
    channels = np.random.default_rng(0).integers(0, 3, 2 * TOGETHER + 3)
    assert classes_of(by_channel, pictures(*channels), CPU).tolist() == channels.tolist()
    assert len(classes_of(by_channel, pictures(), CPU)) == 0
    seen: list[Tensor] = []
    classes_of(lambda rgb: seen.append(rgb) or by_channel(rgb), pictures(1), CPU)
    assert float(seen[0].max()) == pytest.approx(200 / 255)


def test_shares_by_hand() -> None:
    # Labels of the set are "a" and "b"; "a" is the classifier's 0 or 2, "b" its 1.
    found, truly, labels = (np.array(x) for x in ([0, 2, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 1, 0, 1]))
    rows = interpreted(found, truly, labels, ((0, 2), (1,)))
    measures = SemanticInterpretability("x", labelled=True).metrics(Split("test", pictures(0), "d"))
    assert list(measures) == ["imagenet_top1", "imagenet_alike"]
    assert measures["imagenet_top1"](rows) == pytest.approx(3 / 5)
    assert measures["imagenet_alike"](rows) == pytest.approx(2 / 5)
    some = take(rows, np.array([4, 3, 0, 0]))
    assert measures["imagenet_top1"](some) == pytest.approx(2 / 4)
    assert measures["imagenet_alike"](some) == pytest.approx(2 / 4)


def test_without_classes_of_imagenet_nothing_is_called_right() -> None:
    rows = interpreted(np.array([0, 1]), np.array([0, 0]))
    assert set(rows) == {"class", "true_class"}
    measures = SemanticInterpretability("x").metrics(Split("test", pictures(0), "d"))
    assert {name: measure(rows) for name, measure in measures.items()} == {"imagenet_alike": 0.5}
