"""What a reader says of coloured images: Fréchet distances by hand and by scipy; the judgement's measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from downstream.colorization.league import ColourLeague
from downstream.colorization.measures import MEASURES, READ
from downstream.colorization.reading import frechet, read
from pretext.data.dataset import Split


def test_frechet_of_one_number_by_hand() -> None:
    # Means 0 and 3, deviations 1 and 2: 9 + (1 - 2)².
    one = np.array([[-1.0], [0.0], [1.0]])
    other = np.array([[1.0], [3.0], [5.0]])
    assert frechet(one, other) == pytest.approx(9 + 1)


def test_frechet_is_that_of_scipys_matrix_root() -> None:
    draw = np.random.default_rng(0)
    mix = draw.normal(size=(5, 5))
    one, other = draw.normal(size=(40, 5)), draw.normal(size=(60, 5)) @ mix + 0.3
    means, covs = zip(*((x.mean(0), np.cov(x, rowvar=False)) for x in (one, other)), strict=True)
    root = sqrtm(covs[0] @ covs[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covs[0] + covs[1] - 2 * root)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-8)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_of_fewer_images_than_numbers_is_finite() -> None:
    draw = np.random.default_rng(1)
    one, other = draw.normal(size=(4, 30)), draw.normal(size=(4, 30))
    assert np.isfinite(frechet(one, other))
    assert frechet(one, other) == pytest.approx(frechet(other, one), rel=1e-6)


def by_red(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Class 1 where an image is red; features are the channels' means."""
    means = rgb.mean(dim=(2, 3))
    return torch.stack([means[:, 1], means[:, 0]], 1), means


def test_a_reader_reads_pictures_and_originals() -> None:
    red, green = (torch.zeros(3, 4, 4) for _ in range(2))
    red[0], green[1] = 1, 1
    rows = read(by_red, torch.stack([red, red, green]), torch.stack([red, green, green]))
    assert rows["read_as"].tolist() == [1, 1, 0]
    assert rows["truly_read_as"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(rows["away"], [0, 1, 0])
    rows = {**rows, "label": np.array([1.0, 1.0, 1.0])}
    assert READ["read_rightly"](rows) == pytest.approx(2 / 3)
    assert READ["read_alike"](rows) == pytest.approx(2 / 3)
    assert READ["feature_distance"](rows) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("reader", "labelled", "side", "missing"),
    [
        ("", False, 16, set(READ)),
        ("abc", False, 16, {"read_rightly"}),
        ("abc", True, 16, set()),
        ("abc", True, 10, {"ssim"}),
        ("", True, 16, set(READ)),
    ],
)
def test_only_what_can_be_measured_is(reader: str, labelled: bool, side: int, missing: set[str]) -> None:
    images = Split("test", np.zeros((2, side, 20, 3), np.uint8), "d")
    found = ColourLeague(reader, labelled).metrics(images)
    assert next(iter(found)) == "auc"
    assert (MEASURES | READ).keys() - found.keys() == missing
