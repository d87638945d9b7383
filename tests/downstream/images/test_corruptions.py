"""Corruptions against scikit-image, by hand and by their statistics."""

from itertools import pairwise

import numpy as np
import pytest
from planted import labelled
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian

from downstream.images.corruptions import (
    ALL,
    Brightness,
    Contrast,
    Corruption,
    GaussianBlur,
    GaussianNoise,
    Jpeg,
    Pixelate,
    ShotNoise,
    corrupt,
)
from pretext.data.dataset import Split
from pretext.data.split import make_split


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def smooth(side: int = 32) -> np.ndarray:
    """A picture of slow waves in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side
    return np.stack([0.5 + 0.4 * np.sin(6 * x), 0.5 + 0.4 * np.cos(5 * y), 0.5 + 0.3 * np.sin(4 * x + y)], 2)


def pictures(count: int = 6) -> Split:
    waves = np.stack([np.roll(smooth(), 3 * i, axis=i % 2) for i in range(count)])
    return make_split("test", (255 * waves).astype(np.uint8), labels=np.arange(count) % 2)


def test_noise_has_the_strength_of_its_level() -> None:
    gray = np.full((100, 100, 3), 0.5)
    for level in GaussianNoise().levels:
        noise = GaussianNoise()(gray, level, generator()) - gray
        assert noise.mean() == pytest.approx(0, abs=0.02 * level)
        assert noise.std() == pytest.approx(level, rel=0.02)
    for level in ShotNoise().levels:
        counted = ShotNoise()(gray, level, generator())
        assert counted.mean() == pytest.approx(0.5, abs=0.01)
        assert counted.var() == pytest.approx(0.5 / level, rel=0.05)  # Poisson: variance is the mean
        np.testing.assert_allclose(counted * level, (counted * level).round(), atol=1e-9)
    assert (ShotNoise()(np.zeros((4, 4, 3)), 15, generator()) == 0).all()


def test_blur_and_brightness_are_scikit_images() -> None:
    image = generator().random((20, 24, 3))
    image[0, 0] = 0  # black has no hue
    image[0, 1] = (0.7, 0.7, 0.7)
    for level in GaussianBlur().levels:
        wanted = gaussian(image, sigma=level, channel_axis=2)
        np.testing.assert_allclose(GaussianBlur()(image, level, generator()), wanted, atol=1e-9)
    for level in Brightness().levels:
        hsv = rgb2hsv(image)
        hsv[..., 2] = np.clip(hsv[..., 2] + level, 0, 1)
        np.testing.assert_allclose(Brightness()(image, level, generator()), hsv2rgb(hsv), atol=1e-9)


def test_contrast_and_pixelate_by_hand() -> None:
    image = np.array([[[0.0], [0.2]], [[0.4], [1.0]]]).repeat(3, 2)
    found = Contrast()(image, 0.1, generator())[..., 0]
    np.testing.assert_allclose(found, [[0.36, 0.38], [0.40, 0.46]])
    means = np.array([[0.2, 0.6], [0.4, 0.3]])
    image = np.kron(means, np.array([[0.5, 1.5], [1.5, 0.5]]))[..., None].repeat(3, 2)
    found = Pixelate()(image, 0.5, generator())[..., 1]
    np.testing.assert_allclose(found, np.kron(means, np.ones((2, 2))), atol=1.5 / 255)


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: c.name)
def test_every_severity_is_worse_than_the_one_before(corruption: Corruption) -> None:
    split = labelled(np.arange(6) % 2) if isinstance(corruption, Pixelate | GaussianBlur) else pictures()
    clean = split.pixels[:].astype(float)
    errors = [np.square(corrupt(split, corruption, s).pixels[:] - clean).mean() for s in range(1, 6)]
    assert errors[0] > 0
    assert all(a < b for a, b in pairwise(errors))


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: c.name)
def test_an_image_is_corrupted_alike_however_it_is_asked_for(corruption: Corruption) -> None:
    split = pictures()
    made = corrupt(split, corruption, 2)
    every = made.pixels[:]
    assert (every.dtype, every.shape, made.pixels.shape) == (np.uint8, (6, 32, 32, 3), (6, 32, 32, 3))
    np.testing.assert_array_equal(made.pixels[np.array([4, 1])], every[[4, 1]])
    np.testing.assert_array_equal(made.pixels[2:5], every[2:5])
    np.testing.assert_array_equal(made.labels, split.labels)
    np.testing.assert_array_equal(pictures().pixels[:], split.pixels[:])  # untouched


def test_noise_differs_between_images_and_severities() -> None:
    same = make_split("test", np.full((2, 8, 8, 3), 128, dtype=np.uint8))
    made = corrupt(same, GaussianNoise(levels=(0.1, 0.1)), 1).pixels[:]
    assert not np.array_equal(made[0], made[1])
    assert not np.array_equal(made, corrupt(same, GaussianNoise(levels=(0.1, 0.1)), 2).pixels[:])


def test_digest_says_what_was_done() -> None:
    split = pictures()
    digests = {corrupt(split, corruption, s).digest for corruption in ALL for s in range(1, 6)}
    digests |= {split.digest, corrupt(split, Jpeg(levels=(10,)), 1).digest}
    assert len(digests) == 5 * len(ALL) + 2


def test_bad_levels_and_severities_are_named() -> None:
    for severity in (0, 6):
        with pytest.raises(ValueError, match=f"contrast has severities 1 to 5, not {severity}"):
            corrupt(pictures(), Contrast(), severity)
    for levels in ((), (0.0,), (float("nan"),), (-1.0,)):
        with pytest.raises(ValueError, match=r"Jpeg: levels=.* expected positive numbers"):
            Jpeg(levels=levels)
