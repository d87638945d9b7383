"""A regression of filtered colours, and the colours that agree with it best (Deshpande, Rock & Forsyth 2015).

"Learning large-scale automatic image colorization" (LEARCH), ICCV 2015, doi:10.1109/ICCV.2015.72.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor
from torch.nn import functional as F

from pretext.color import lightness
from pretext.colorizers import colour_filters, colour_histogram, leung_malik, own_lightness
from pretext.colorizers.arrays import Floats, check_sides, coloured, gray_of, shrunk, together
from pretext.colorizers.colour_filters import Filters
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one, references
from pretext.colorizers.gray_ratio import ratios, with_gray
from pretext.colorizers.retrieval import References
from pretext.task import Loader

REGRESSED, SPLIT = 217, 15
"""Features of a pixel: what b is linear in, and what trees ask."""

_LEAST = 2 * colour_filters.REACH + 1


class Sampled(NamedTuple):
    """Pixels to learn from: features (S, 217) and (S, 15), matches' mean colour (S, 2), responses (S, K)."""

    regressed: Floats
    split: Floats
    matched: Floats
    wanted: Floats


class Learned(NamedTuple):
    """What training images say.

    filters: A·F. low, high: (217,), by which features are scaled to [0, 1]. linear: (218, K), the last row
    constant. trees: one forest for each of K. histogram: (121, 121), mean of all images.
    """

    filters: Filters
    low: Floats
    high: Floats
    linear: Floats
    trees: list[HistGradientBoostingRegressor]
    histogram: Tensor


class DeshpandeLearch:
    """What filters of colours should respond at a pixel, b, is learned; the field follows by least squares.

    Colours are differences over gray (`gray_ratio`). A quadratic |A·F(x) − b|² ties the colour field x to
    b, and as its expected loss is b's squared error, b is boosted by squared loss: it starts from the mean
    colour of nine training pictures that look alike, then comes a ridge regression on 217 features (gray
    around the pixel, and Leung and Malik's filters with their slopes), then trees on 15 others (gray,
    slopes, blurs, the matches, place). Conjugate gradients find x, and nine steps take its histogram
    towards a target.

    Approximated: in the release seven of eight trees are a single linear leaf and the last has linear
    leaves; here these are one ridge regression and boosted trees of constant leaves. The 25 gray values are
    those around the pixel. A's rows are the pixel itself and principal directions of the other filters on
    training colours. Histograms are compared as blurred densities, not as mixtures of mean-shift clusters.
    What is seen as gray is the gray of the same lightness, not the mean of the channels, which nobody knows
    who has the lightness alone. Matches are those of `retrieval`.

    Args:
        histogram_given: whether the last step's target is the histogram of the first reference (an oracle, if
            that is the truth) or else the mean of the training images'.
        images: training images looked at.
        samples: pixels of all of them that are regressed on.
        matches: pictures that look alike.
        rows: K, filters asked of a pixel.
        ridge: of the linear part, on features in [0, 1], a sample.
        rounds: trees a row; leaf: samples a leaf holds at least.
        side: pixels of the longer side of the copy that is coloured.
        corrected: take the last step, towards a histogram.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        histogram_given: bool,
        images: int = 1000,
        samples: int = 20000,
        matches: int = 9,
        rows: int = 12,
        ridge: float = 1e-4,
        rounds: int = 40,
        leaf: int = 100,
        side: int = 256,
        corrected: bool = True,
    ) -> None:
        if min(matches, rounds, leaf) < 1 or images <= matches or samples < 2 * leaf:
            raise ValueError(
                "DeshpandeLearch takes matches, rounds and leaf from 1, more images than matches, samples of "
                f"two leaves, got {matches}, {rounds}, {leaf}, {images}, {samples}"
            )
        if not 3 <= rows <= 40 or side < _LEAST:
            raise ValueError(
                f"DeshpandeLearch takes rows in [3, 40] and sides from {_LEAST}, got {rows}, {side}"
            )
        if not 0 < ridge < np.inf:
            raise ValueError(f"DeshpandeLearch.ridge is a positive number, got {ridge}")
        if histogram_given and not corrected:
            raise ValueError("DeshpandeLearch.histogram_given needs corrected=true")
        self._images, self._samples, self._matches, self._rows = images, samples, matches, rows
        self._ridge, self._rounds, self._leaf, self._side = ridge, rounds, leaf, side
        self._corrected, self._histogram_given = corrected, histogram_given
        self._references = References(images)
        self._pictures: list[Tensor] = []
        self.learned: Learned | None = None

    def fit(self, loader: Loader, seed: int) -> None:
        """Learn b from pixels of training images.

        Raises:
            ValueError: too few images have colour, or images are smaller than the filters.
        """
        found = coloured("DeshpandeLearch", loader, self._images, self._matches + 1)
        for rgb in found:
            check_sides("DeshpandeLearch, a training image", rgb.shape, _LEAST)
        self._references.fit(loader, seed)
        self._pictures = found  # in the order of the references' places
        fields = [ratios(rgb[None].double())[0] for rgb in found]
        filters = colour_filters.learned(fields, self._rows, seed)
        draw = np.random.default_rng(seed)
        each = -(-self._samples // len(found))
        sampled = []
        for place, (rgb, field) in enumerate(zip(found, fields, strict=True)):
            light = lightness(rgb[None].double())[0, 0].numpy()
            chosen = np.sort(draw.permutation(light.size)[:each])
            mean, spread = self._of_matches(light, skipped=place)
            gray = gray_of(light)
            sampled.append(
                Sampled(
                    regression_features(gray)[:, chosen].T,
                    split_features(gray, mean, spread)[:, chosen].T,
                    mean.reshape(2, -1)[:, chosen].T,
                    filters.of(field[None])[0].flatten(1).numpy()[:, chosen].T,
                )
            )
        pixels = Sampled(*(np.concatenate(part) for part in zip(*sampled, strict=True)))
        histogram = torch.stack([colour_histogram.histogram(field) for field in fields]).mean(0)
        self.learned = self._regressed(pixels, filters, histogram, seed)

    def _regressed(self, pixels: Sampled, filters: Filters, histogram: Tensor, seed: int) -> Learned:
        """The regression of responses, from the matches' colours on."""
        low, high = pixels.regressed.min(0), pixels.regressed.max(0)
        rest = pixels.wanted.copy()
        rest[:, :2] -= pixels.matched
        inputs = _scaled(pixels.regressed.T, low, high).T
        penalty = self._ridge * len(inputs) * np.eye(REGRESSED + 1)
        penalty[-1, -1] = 0
        linear = np.asarray(np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ rest), np.float64)
        rest -= inputs @ linear
        trees = [
            HistGradientBoostingRegressor(
                max_iter=self._rounds, min_samples_leaf=self._leaf, early_stopping=False, random_state=seed
            ).fit(pixels.split, rest[:, row])
            for row in range(rest.shape[1])
        ]
        return Learned(filters, low, high, linear, trees, histogram)

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour each image: L (B, 1, H, W) to ab (B, 2, h, w), h and w at most `side`.

        Raises:
            ValueError: a side below 11 pixels, an L out of range, not fitted, or no reference whose
            histogram is
                the target where one must be.
        """
        if self.learned is None:
            raise ValueError("DeshpandeLearch: fit to training images first")
        return together(
            "DeshpandeLearch",
            [
                self._coloured(given, self.learned)
                for given in one_by_one("DeshpandeLearch", lightness, hints)
            ],
            lightness,
        )

    @torch.no_grad()
    def _coloured(self, given: Given, learned: Learned) -> Floats:
        check_sides(given.where, given.lightness.shape, _LEAST)
        target = self._target(given, learned)
        light = shrunk(given.lightness[None], self._side, _LEAST)[0]
        asked = self.asked(light, learned)
        field = learned.filters.solve(asked)
        if self._corrected:
            filters = learned.filters.at(light.shape)
            moved, _ = colour_histogram.towards(field[0], target, filters.of, asked)
            field = moved[None]
        return own_lightness.ab_at(light, lambda gray: _rgb_of(field, gray), 0, 4)

    def asked(self, light: Floats, learned: Learned) -> Tensor:
        """b (1, K, h, w) of L (h, w)."""
        gray = gray_of(light)
        mean, spread = self._of_matches(light)
        inputs = _scaled(regression_features(gray).reshape(REGRESSED, -1), learned.low, learned.high)
        split = split_features(gray, mean, spread).reshape(SPLIT, -1).T
        found = learned.linear.T @ inputs + np.stack([tree.predict(split) for tree in learned.trees])
        found[:2] += mean.reshape(2, -1)
        return torch.from_numpy(found.reshape(1, -1, *gray.shape))

    def _target(self, given: Given, learned: Learned) -> Tensor:
        if not self._histogram_given:
            return learned.histogram
        return colour_histogram.histogram(ratios(references(given)[0][None].double())[0])

    def _of_matches(self, light: Floats, skipped: int = -1) -> tuple[Floats, Floats]:
        """Mean and standard deviation (2, h, w), over the pictures most like L (h, w), of colours there.

        skipped: place of a training image that is not asked about itself.
        """
        order = self._references.order(torch.from_numpy(light)[None]).tolist()
        alike = [place for place in order if place != skipped][: self._matches]
        fields = [
            F.interpolate(
                ratios(self._pictures[place][None].double()),
                light.shape,
                mode="bilinear",
                antialias=True,
                align_corners=False,
            )
            for place in alike
        ]
        stacked = torch.cat(fields)
        return stacked.mean(0).numpy(), stacked.std(0, correction=0).numpy()


def regression_features(gray: Floats) -> NDArray[np.float64]:
    """(217, HW): 5×5 gray values; responses of 48 filters, their slopes across and down, and steepness."""
    height, width = gray.shape
    padded = np.pad(gray, 2, mode="symmetric")
    around = [padded[i : i + height, j : j + width] for i in range(5) for j in range(5)]
    filtered = leung_malik.responses(gray)
    down, right = np.gradient(filtered, axis=(1, 2))
    parts = (np.stack(around), filtered, right, down, np.hypot(right, down))
    return np.concatenate(parts).reshape(REGRESSED, -1)


def split_features(gray: Floats, mean: Floats, spread: Floats) -> Floats:
    """(15, HW): gray, slopes, steepness, five blurs, the matches' mean and deviation (2, H, W), x and y."""
    height, width = gray.shape
    down, right = np.gradient(gray)
    blurs = [uniform_filter(gray, size, mode="reflect") for size in (2, 4, 8, 16, 32)]
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    parts = [gray, right, down, np.hypot(right, down), *blurs, *mean, *spread, x, y]
    return np.stack(parts).reshape(SPLIT, -1)


def _scaled(features: Floats, low: Floats, high: Floats) -> Floats:
    """Features (217, n) in [0, 1] on training pixels, and a constant, (218, n)."""
    reach = np.where(high > low, high - low, 1)
    inside = ((features - low[:, None]) / reach[:, None]).clip(-1, 2)  # no pixel is trusted far outside
    return np.concatenate([inside, np.ones((1, features.shape[1]))])


def _rgb_of(field: Tensor, gray: Floats) -> Floats:
    return np.asarray(with_gray(field, torch.from_numpy(gray)[None, None])[0].permute(1, 2, 0).numpy())
