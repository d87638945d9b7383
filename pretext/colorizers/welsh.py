"""Transferring color to greyscale images: by brightness and roughness (Welsh et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from torch import Tensor

from pretext.color import lab_to_rgb
from pretext.colorizers import lalphabeta
from pretext.colorizers.arrays import together
from pretext.colorizers.contract import Hints
from pretext.colorizers.draws import drawn_from
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.own_lightness import ab_at
from pretext.colorizers.retrieval import ReferenceSource
from pretext.task import Loader

Floats = NDArray[np.float64]


class Welsh:
    """Gives each pixel the colour of a reference's pixel, by brightness and roughness (Welsh et al. 2002).

    In lαβ the reference's brightness is brought to the image's mean and spread. Some of its pixels are taken,
    one from each cell of a grid; each of the image's pixels takes α and β of the one of least
    ½ (Δl)² + ½ (Δ standard deviation)², the latter in a window around each. One reference is used, the first.
    Remembered, or read in ports: the number of samples, the window. Left out: swatches, pairs of rectangles
    that a person draws in both pictures.

    Args:
        source: where the reference comes from: `retrieval.References` finds it in the training set, and the
            system is automatic; `retrieval.Chosen` takes the one that is given, and it is assisted.
        grid: cells a side; about 200 samples in the paper.
        window: side in pixels, odd.
    """

    def __init__(self, source: ReferenceSource, grid: int = 14, window: int = 5) -> None:
        if grid < 1:
            raise ValueError(f"Welsh.grid starts at 1, got {grid}")
        if window < 1 or window % 2 == 0:
            raise ValueError(f"Welsh.window is an odd number of pixels, got {window}")
        self._source, self._grid, self._window = source, grid, window
        self._seed = 0

    def fit(self, loader: Loader, seed: int) -> None:
        """Let the source see training images; `seed` decides the samples.

        Raises:
            ValueError: as the source.
        """
        self._source.fit(loader, seed)
        self._seed = seed

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads references where they are chosen.

        Raises:
            ValueError: an image for which there is no reference with colour.
        """
        ab = [self._colored(image) for image in one_by_one("Welsh", lightness, hints)]
        return together("Welsh", ab, lightness)

    def _colored(self, image: Given) -> Floats:
        """The ab (2, H, W) of one image."""
        (picture,) = self._source.of(image, 1)
        reference = lalphabeta.from_rgb(picture.double().cpu().permute(1, 2, 0).numpy())  # (h, w, 3)
        brightness = _brightness(image.lightness)  # (H, W)
        remapped = _remapped(reference[..., 0], brightness)
        places = self._samples(reference)
        described = np.stack([remapped, _roughness(remapped, self._window)], -1).reshape(-1, 2)[places]
        asked = np.stack([brightness, _roughness(brightness, self._window)], -1)  # (H, W, 2)
        _, nearest = cKDTree(described).query(asked)
        alphabeta = reference[..., 1:].reshape(-1, 2)[places][nearest]  # (H, W, 2)
        return ab_at(
            image.lightness, lambda level: lalphabeta.to_rgb(np.dstack([level, alphabeta])), low=-8, high=2
        )

    def _samples(self, reference: Floats) -> NDArray[np.int64]:
        """Places of one pixel from each cell of the grid, of (h, w, 3) flattened."""
        height, width = reference.shape[:2]
        jitter = drawn_from(reference, self._seed).random((2, self._grid, self._grid))
        cells = np.arange(self._grid)
        rows = ((cells[:, None] + jitter[0]) * height / self._grid).astype(np.int64)
        columns = ((cells[None] + jitter[1]) * width / self._grid).astype(np.int64)
        return np.asarray(rows.clip(max=height - 1) * width + columns.clip(max=width - 1)).ravel()


def _brightness(light: Floats) -> Floats:
    """The l (H, W) of a gray image of L (H, W)."""
    lab = torch.from_numpy(np.stack([light, np.zeros_like(light), np.zeros_like(light)]))[None]
    return lalphabeta.from_rgb(lab_to_rgb(lab)[0].permute(1, 2, 0).numpy())[..., 0]


def _remapped(source: Floats, target: Floats) -> Floats:
    """`source` brought to the mean and the standard deviation of `target`."""
    spread = source.std()
    scale = target.std() / spread if spread > 0 else 1.0
    return np.asarray((source - source.mean()) * scale + target.mean())


def _roughness(brightness: Floats, window: int) -> Floats:
    """Standard deviation in the window around each pixel, mirrored at the border."""
    centered = brightness - brightness.mean()
    squares = uniform_filter(centered**2, window, mode="reflect")
    return np.asarray(np.sqrt(np.maximum(squares - uniform_filter(centered, window, mode="reflect") ** 2, 0)))
