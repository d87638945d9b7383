"""Semantic colorization with internet images: a label and a mask bring references (Chia et al. 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.segmentation import slic
from skimage.transform import resize
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers import given, linear_light
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.levin import propagate
from pretext.colorizers.retrieval import Kept, keep
from pretext.colorizers.saliency import salient
from pretext.task import Loader

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OUTLINE = 32
"""Side of the square that outlines are brought to."""

SCALES, DIRECTIONS = (1, 2), 8
"""Of edges: standard deviations in pixels, and how many directions, either side alike."""

RIM = 3
"""Pixels over which an object's outline is felt within it."""


class ChiaSemantic:
    """Colours an object and what is around it after pictures of the same label (Chia, Zhuo et al. 2011).

    A person names the object and outlines it. Of the training images of that label those stay that are
    reliable references: half, those whose salient object is the clearest; of these half, those whose outline
    is most like the mask; of these the first few by texture. Each makes one result; which is best the person
    would choose. Superpixels take the mean colour of the reference's superpixel that is most alike in
    brightness, roughness and edges, object after object and surroundings after surroundings, and Levin's
    propagation spreads them from the middle of each.

    The paper's text was out of reach, but for its abstract. After it: pictures come from the training set,
    not from the internet; saliency, the measures of outline (overlap after both are brought to one square,
    either way round) and texture (directions of edges) and the superpixels' features are our own.

    Args:
        images: at most so many training images are kept, evenly spaced.
        results: colourings an image has, 3 or more; `colorize` gives the first.
        superpixels: about so many in an image.
    """

    def __init__(self, images: int = 4000, results: int = 3, superpixels: int = 150) -> None:
        if images < 1 or results < 3 or superpixels < 1:
            raise ValueError(
                "ChiaSemantic takes images and superpixels from 1 and results from 3, "
                f"got {images}, {superpixels}, {results}"
            )
        self._images, self._kept = images, Kept(torch.zeros(0, 3, 1, 1, dtype=torch.uint8), None)
        self._results, self._superpixels = results, superpixels

    def fit(self, loader: Loader, seed: int) -> None:
        """Keep training images; `seed` decides nothing.

        Raises:
            ValueError: they have no classes, or none has colour.
        """
        kept = keep("ChiaSemantic", loader, self._images)
        if kept.labels is None:
            raise ValueError(
                "ChiaSemantic finds references by label, and the training images have no classes"
            )
        self._kept = kept

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads label and mask. The first result.

        Raises:
            ValueError: an image without label or mask, or a label of fewer training images than results.
        """
        return self._results_of(lightness, hints, 1)[0]

    def proposals(self, lightness: Tensor, hints: Sequence[Hints]) -> Tensor:
        """All results, the first first: (K, B, 2, H, W). Raises as `colorize`."""
        return self._results_of(lightness, hints, self._results)

    def _results_of(self, lightness: Tensor, hints: Sequence[Hints], count: int) -> Tensor:
        made = [
            np.stack([self._colored(image, picture) for picture in self._reliable(image)[:count]])
            for image in one_by_one("ChiaSemantic", lightness, hints)
        ]
        if not made:
            return lightness.new_zeros(count, 0, 2, *lightness.shape[2:])
        return torch.from_numpy(np.stack(made, 1)).float().to(lightness.device)

    def _reliable(self, image: Given) -> list[Floats]:
        """References of an image, (h, w, 3) in [0, 1], the best first."""
        mask = given.mask(image)
        pictures = self._labelled(image)
        objects = [salient(picture) for picture in pictures]
        light, small = _seen_as(image.lightness, mask, pictures[0].shape[:2])
        if not small.any():
            raise ValueError(f"{image.where}: its mask marks too little to be seen at {small.shape} pixels")
        clear = _least(range(len(pictures)), [-one.clarity for one in objects], self._results)
        shape = outline(small)
        unlike = {i: 1 - _overlap(shape, outline(objects[i].mask)) for i in clear}
        alike = _least(clear, [unlike[i] for i in clear], self._results)
        texture = edges(light, small)
        apart = [_chi_squared(texture, edges(_light(pictures[i]), objects[i].mask)) for i in alike]
        order = np.argsort(apart, kind="stable")[: self._results]
        return [pictures[alike[i]] for i in order]

    def _labelled(self, image: Given) -> list[Floats]:
        label, labels = image.hints.label, self._kept.labels
        if labels is None:
            raise ValueError("ChiaSemantic: fit to training images first")
        if label is None:
            raise ValueError(f"{image.where}: needs a label; got none")
        found = (labels == label).nonzero()[:, 0].tolist()
        if len(found) < self._results:
            raise ValueError(
                f"{image.where}: label {label} has {len(found)} training images with colour "
                f"among those kept, and {self._results} results need as many"
            )
        return [self._kept.pixels[i].permute(1, 2, 0).numpy() / 255.0 for i in found]

    def _colored(self, image: Given, picture: Floats) -> Floats:
        """The ab (2, H, W) after one reference."""
        mask = given.mask(image)
        light, small = _seen_as(image.lightness, mask, picture.shape[:2])
        lab = rgb_to_lab(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        own = _pieces(light, small, self._superpixels)
        others = _pieces(lab[..., 0], salient(picture).mask, self._superpixels)
        gray = linear_light.to_srgb(linear_light.luminance_of(image.lightness))
        spread = {}
        for inside in (True, False):
            ours = own.inside == inside
            theirs = others.inside == inside if (others.inside == inside).any() else others.inside != inside
            if ours.any():
                nearest = _most_alike(own.features[ours], others.features[theirs])
                colors = others.colors(lab[..., 1:])[theirs][nearest]  # (S, 2)
                spread[inside] = _spread(gray, own.middles[ours] / light.shape, colors)
        # So thin a surrounding that no superpixel lies in it is coloured as the object.
        around = spread.get(False, spread[True])
        return np.where(mask[..., None], spread[True], around).transpose(2, 0, 1)


def best_of(proposals: Tensor, truth: Tensor) -> Tensor:
    """Of each image's results the one nearest to the truth: an oracle, in place of the person who chooses.

    Args:
        proposals: ab (K, B, 2, H, W). truth: ab (B, 2, H, W).

    Returns:
        ab (B, 2, H, W) of the least mean distance.
    """
    away = (proposals - truth).norm(dim=2).mean((2, 3))  # (K, B)
    return proposals[away.argmin(0), torch.arange(len(truth), device=proposals.device)]


class _Pieces(NamedTuple):
    """Superpixels, each wholly in the object or outside.

    segments: (h, w), which it is. inside: (S,). features: (S, F). middles: (S, 2), row and column in pixels.
    """

    segments: NDArray[np.int64]
    inside: Bools
    features: Floats
    middles: Floats

    def colors(self, ab: Floats) -> Floats:
        """Mean colours (S, 2) of ab (h, w, 2)."""
        return _means(ab, self.segments)


def _pieces(light: Floats, mask: Bools, count: int) -> _Pieces:
    # On one channel in [0, 1] the usual compactness would make squares.
    cut = slic(light / 100, n_segments=count, compactness=0.1, channel_axis=None, start_label=0)
    _, segments = np.unique(2 * cut + mask, return_inverse=True)
    segments = segments.reshape(mask.shape)
    inside = _means(mask[..., None].astype(np.float64), segments)[:, 0] > 0.5
    middles = _means(np.moveaxis(np.indices(mask.shape).astype(np.float64), 0, -1) + 0.5, segments)
    return _Pieces(segments, inside, _means(_described(light), segments), middles)


def _described(light: Floats) -> Floats:
    """Brightness, roughness in 5×5, and energy of edges at two scales and four directions: (h, w, 10)."""
    mean = ndimage.uniform_filter(light, 5)
    rough = np.sqrt(
        np.maximum(ndimage.uniform_filter((light - light.mean()) ** 2, 5) - (mean - light.mean()) ** 2, 0)
    )
    energies = []
    for scale in SCALES:
        down = ndimage.gaussian_filter(light, scale, order=(1, 0))
        across = ndimage.gaussian_filter(light, scale, order=(0, 1))
        energies += [abs(np.cos(turn) * across + np.sin(turn) * down) for turn in np.pi * np.arange(4) / 4]
    return np.stack([light, rough, *energies], -1)


def _means(values: Floats, segments: NDArray[np.int64]) -> Floats:
    """Means (S, C) of (h, w, C) over each segment."""
    pixels = np.bincount(segments.ravel())
    sums = [np.bincount(segments.ravel(), values[..., c].ravel()) for c in range(values.shape[-1])]
    return np.stack(sums, -1) / pixels[:, None]


def _most_alike(own: Floats, others: Floats) -> NDArray[np.int64]:
    """The place of the nearest of (R, F) for each of the features (S, F), brought to one mean and spread."""
    scaled = []
    for features in (own, others):
        spread = features.std(0)
        scaled.append((features - features.mean(0)) / np.where(spread > 1e-9, spread, 1))
    _, nearest = cKDTree(scaled[1]).query(scaled[0])
    return np.asarray(nearest, dtype=np.int64)


def _spread(gray: Floats, middles: Floats, colors: Floats) -> Floats:
    """Colours (S, 2) from their places (S, 2), in shares of height and width, over an image: (H, W, 2)."""
    chroma, marked = np.zeros((*gray.shape, 2)), np.zeros(gray.shape, dtype=bool)
    rows, columns = (middles * gray.shape).astype(np.int64).T
    chroma[rows, columns], marked[rows, columns] = colors, True
    return propagate(gray.clip(0, 1), chroma, marked)


def _seen_as(light: Floats, mask: Bools, size: tuple[int, ...]) -> tuple[Floats, Bools]:
    """Lightness and mask at a reference's size."""
    small = resize(light, size, order=1, mode="edge", anti_aliasing=True)
    return small, resize(mask.astype(np.float64), size, order=1, mode="edge", anti_aliasing=True) > 0.5


def _light(picture: Floats) -> Floats:
    return np.asarray(rgb_to_lab(torch.from_numpy(picture).permute(2, 0, 1)[None])[0, 0].numpy())


def _least(places: Sequence[int], costs: Sequence[float], least: int) -> list[int]:
    """The half of them that costs least, `least` or more."""
    order = np.argsort(costs, kind="stable")[: max(least, -(-len(costs) // 2))]
    return [places[i] for i in order]


def outline(mask: Bools) -> Bools:
    """A mask cut to what it marks, in the middle of a square of 32 pixels: (H, W) → (32, 32)."""
    square = np.zeros((OUTLINE, OUTLINE), dtype=bool)
    if not mask.any():
        return square
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(OUTLINE * side / max(cut.shape))) for side in cut.shape)
    top, left = (OUTLINE - height) // 2, (OUTLINE - width) // 2
    square[top : top + height, left : left + width] = (
        resize(cut.astype(np.float64), (height, width), order=1, mode="edge", anti_aliasing=True) > 0.5
    )
    return square


def _overlap(one: Bools, other: Bools) -> float:
    """Intersection over union, of the better of both ways round."""
    return max(float((one & way).sum() / max((one | way).sum(), 1)) for way in (other, other[:, ::-1]))


def edges(light: Floats, mask: Bools) -> Floats:
    """Shares of edge strength by scale and direction within a mask: (16,), 0 if there is none.

    Strength, not counts: what noise there is weighs little beside a pattern. The mask's rim is left out where
    anything else remains: its edges are those of the outline.
    """
    inner = ndimage.binary_erosion(mask, iterations=RIM)
    mask = inner if inner.any() else mask
    shares = []
    for scale in SCALES:
        down = ndimage.gaussian_filter(light, scale, order=(1, 0))[mask]
        across = ndimage.gaussian_filter(light, scale, order=(0, 1))[mask]
        turn = np.round(np.arctan2(down, across) / np.pi * DIRECTIONS).astype(np.int64) % DIRECTIONS
        shares.append(np.bincount(turn, np.hypot(down, across), minlength=DIRECTIONS))
    whole = np.concatenate(shares)
    return np.asarray(whole / whole.sum() if whole.sum() > 0 else whole)


def _chi_squared(one: Floats, other: Floats) -> float:
    return float(((one - other) ** 2 / np.maximum(one + other, 1e-12)).sum())
