"""Small networks from described pixels to chroma, one for each kind of scene (Cheng, Yang & Sheng 2015).

"Deep colorization", ICCV 2015, doi:10.1109/ICCV.2015.55; arXiv:1605.00075.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from skimage.feature import daisy
from sklearn.cluster import KMeans
from torch import Tensor, nn

from pretext.color import lightness as lightness_of
from pretext.color import rgb_to_yuv
from pretext.color.yuv import LUMA, U_SCALE, V_SCALE
from pretext.colorizers import joint_bilateral, own_lightness, texture_classes
from pretext.colorizers.arrays import Floats, check_sides, coloured, gray_of, shrunk, together
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.retrieval import gist
from pretext.colorizers.texture_classes import TextureClasses
from pretext.task import Loader

_LEAST = 8
_HALF = 3
"""Patches are 7×7."""


class Seen(NamedTuple):
    """A training image: features (n, D) and UV (n, 2) of some pixels, gist (512,), mean posterior (K,)."""

    features: Tensor
    uv: Tensor
    gist: Floats
    histogram: Floats


class Kind(NamedTuple):
    """Scenes of one kind: mean gist (512,) and posterior (K,) of those that its network colours well."""

    gist: Floats
    histogram: Floats
    net: nn.Sequential


class ChengDeep:
    """Regresses U and V on a pixel's patch, DAISY and class probabilities, by a network a kind of scene.

    Kinds are found in rounds: training images are clustered by a global descriptor, a network is trained on
    each cluster, images it colours well leave, and the others are clustered anew. An image to be coloured
    takes, of the kinds that look most like it, the one whose mean class probabilities are nearest. Chroma
    is smoothed where gray does not change (joint bilateral filter).

    Approximated: there is no scene parser; probabilities are those of `texture_classes`, smoothed by the same
    filter. What is seen as Y is the gray of the same lightness. Sizes are remembered rather than read: three
    hidden layers of half of the input's width, the bound, and numbers of kinds and classes.

    Args:
        images: training images looked at.
        samples: pixels of each.
        classes: of texture.
        kinds: clusters a round. rounds: of clustering.
        bound: PSNR in dB (of U and V, for a peak of 1) from which an image is coloured well.
        nearest: kinds among which class probabilities choose.
        steps: of Adam a network. batch: pixels a step. rate: of learning.
        radius: of DAISY in pixels.
        by_gray: standard deviation of the filter in gray, of [0, 1]. by_space: in pixels; it reaches 5.
        side: pixels of the longer side of the copy that is coloured.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        images: int = 1000,
        samples: int = 200,
        classes: int = 16,
        kinds: int = 4,
        rounds: int = 2,
        bound: float = 28.0,
        nearest: int = 3,
        steps: int = 600,
        batch: int = 512,
        rate: float = 2e-3,
        radius: int = 8,
        by_gray: float = 0.1,
        by_space: float = 3.0,
        side: int = 256,
    ) -> None:
        whole = {
            "images": images, "samples": samples, "classes": classes, "kinds": kinds, "rounds": rounds,
            "nearest": nearest, "steps": steps, "batch": batch, "radius": radius,
        }  # fmt: skip
        for name, value in whole.items():
            if value < 1:
                raise ValueError(f"ChengDeep.{name} starts at 1, got {value}")
        for name, number in {"rate": rate, "by_gray": by_gray, "by_space": by_space}.items():
            if not 0 < number < np.inf:
                raise ValueError(f"ChengDeep.{name} is a positive number, got {number}")
        if side < _LEAST or np.isnan(bound):
            raise ValueError(f"ChengDeep takes sides from {_LEAST} and a bound in dB, got {side} and {bound}")
        self._images, self._samples, self._classes, self._kinds = images, samples, classes, kinds
        self._rounds, self._bound, self._nearest, self._steps = rounds, bound, nearest, steps
        self._batch, self._rate, self._radius, self._side = batch, rate, radius, side
        self._by_gray, self._by_space = by_gray, by_space
        self._textures: TextureClasses | None = None
        self.learned: list[Kind] = []

    def fit(self, loader: Loader, seed: int) -> None:
        """Train the networks.

        Raises:
            ValueError: no image has colour, or images are smaller than 8 pixels.
        """
        found = coloured("ChengDeep", loader, self._images)
        for rgb in found:
            check_sides("ChengDeep, a training image", rgb.shape, _LEAST)
        lights = [lightness_of(rgb[None].double())[0, 0].numpy() for rgb in found]
        self._textures = texture_classes.learned([gray_of(light) for light in lights], self._classes, seed)
        draw = np.random.default_rng(seed)
        seen = [
            self._seen(rgb, light, self._textures, draw) for rgb, light in zip(found, lights, strict=True)
        ]
        self.learned = []
        for turn in range(self._rounds):
            last = turn == self._rounds - 1
            seen = self._one_round(seen, seed, last)
            if not seen:
                break

    def _seen(self, rgb: Tensor, light: Floats, textures: TextureClasses, draw: np.random.Generator) -> Seen:
        features, histogram = self._described(gray_of(light), textures)
        chosen = np.sort(draw.permutation(len(features))[: self._samples])
        uv = rgb_to_yuv(rgb[None].double())[0, 1:].flatten(1).T
        return Seen(features[chosen], uv[chosen].float(), _gist(light), histogram)

    def _one_round(self, seen: list[Seen], seed: int, last: bool) -> list[Seen]:
        """Train a network a cluster, keep those that colour something well, and return what they do not."""
        descriptors = np.stack([one.gist for one in seen])
        count = min(self._kinds, len(np.unique(descriptors.round(6), axis=0)))
        which = KMeans(count, n_init=4, random_state=seed).fit(descriptors).labels_
        left: list[Seen] = []
        for cluster in range(count):
            members = [one for one, own in zip(seen, which, strict=True) if own == cluster]
            net = self._trained(members, seed + len(self.learned))
            well = [_psnr(net, one) >= self._bound for one in members]
            kept = [one for one, good in zip(members, well, strict=True) if good or last]
            left += [one for one, good in zip(members, well, strict=True) if not (good or last)]
            if kept:
                descriptor = np.mean([one.gist for one in kept], 0)
                self.learned.append(Kind(descriptor, np.mean([one.histogram for one in kept], 0), net))
        return left

    def _trained(self, members: list[Seen], seed: int) -> nn.Sequential:
        features, uv = torch.cat([one.features for one in members]), torch.cat([one.uv for one in members])
        width = features.shape[1]
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            net = _network(width)
            _normalise(net, features)
            adam = torch.optim.Adam(net.parameters(), lr=self._rate)
            fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self._steps)
            for _ in range(self._steps):
                some = torch.randint(len(features), (min(self._batch, len(features)),))
                loss = (net(features[some]) - uv[some]).square().sum(1).mean()
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                fall.step()
        return net.eval().requires_grad_(False)

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour each image: L (B, 1, H, W) to ab (B, 2, h, w), h and w at most `side`. Hints are not read.

        Raises:
            ValueError: a side below 8 pixels, an L out of range, or not fitted.
        """
        if self._textures is None:
            raise ValueError("ChengDeep: fit to training images first")
        return together(
            "ChengDeep",
            [self._coloured(given, self._textures) for given in one_by_one("ChengDeep", lightness, hints)],
            lightness,
        )

    @torch.no_grad()
    def _coloured(self, given: Given, textures: TextureClasses) -> Floats:
        check_sides(given.where, given.lightness.shape, _LEAST)
        light = shrunk(given.lightness[None], self._side, _LEAST)[0]
        gray = gray_of(light)
        features, histogram = self._described(gray, textures)
        kind = self.kind_of(_gist(light), histogram)
        uv = kind.net(features).double().numpy().T.reshape(2, *gray.shape)
        uv = joint_bilateral.smoothed(uv, gray, by_guide=self._by_gray, by_space=self._by_space)
        return own_lightness.ab_at(light, lambda luma: _rgb_of(luma, uv), -1, 3)

    def kind_of(self, descriptor: Floats, histogram: Floats) -> Kind:
        """Of the kinds nearest to a gist (512,), the one nearest to a mean posterior (K,)."""
        away = [float(((kind.gist - descriptor) ** 2).sum()) for kind in self.learned]
        near = np.argsort(away, kind="stable")[: self._nearest]
        apart = [float(((self.learned[place].histogram - histogram) ** 2).sum()) for place in near]
        return self.learned[int(near[int(np.argmin(apart))])]

    def _described(self, gray: Floats, textures: TextureClasses) -> tuple[Tensor, Floats]:
        """Features (HW, 81 + K) of a gray image in [0, 1], and its mean posterior (K,)."""
        height, width = gray.shape
        padded = np.pad(gray, _HALF, mode="symmetric")
        side = range(2 * _HALF + 1)
        patches = np.stack([padded[i : i + height, j : j + width] for i in side for j in side])
        around = np.pad(gray, self._radius, mode="symmetric")
        described = daisy(around, step=1, radius=self._radius, rings=1, histograms=3, orientations=8)
        posterior = joint_bilateral.smoothed(
            textures.posterior(gray), gray, by_guide=self._by_gray, by_space=self._by_space
        )
        parts = [patches.reshape(len(patches), -1).T, described.reshape(height * width, -1)]
        parts.append(posterior.reshape(len(posterior), -1).T)
        return torch.from_numpy(np.concatenate(parts, 1)).float(), posterior.mean((1, 2))


def _gist(light: Floats) -> Floats:
    """The global descriptor (512,) of L (H, W)."""
    return np.asarray(gist(torch.from_numpy(light)[None, None])[0].numpy())


def _network(width: int) -> nn.Sequential:
    hidden = width // 2
    return nn.Sequential(
        nn.BatchNorm1d(width, affine=False), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
        nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2),
    )  # fmt: skip


def _normalise(net: nn.Sequential, features: Tensor) -> None:
    """Fix the first layer to the features' mean and deviation."""
    norm = net[0]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(features.mean(0))
    norm.running_var.copy_(features.var(0, correction=0))
    norm.eval()


def _psnr(net: nn.Sequential, seen: Seen) -> float:
    error = float((net(seen.features) - seen.uv).square().mean())
    return -10 * float(np.log10(max(error, 1e-12)))


def _rgb_of(luma: Floats, uv: Floats) -> Floats:
    """RGB (H, W, 3), not clipped, of Y (H, W) and UV (2, H, W)."""
    blue, red = luma + uv[0] / U_SCALE, luma + uv[1] / V_SCALE
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return np.stack([red, green, blue], -1)
