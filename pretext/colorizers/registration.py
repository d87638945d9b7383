"""Pictures of one scene, brought to the same frame."""

from __future__ import annotations

import typing

import numpy as np
from numpy.typing import NDArray
from skimage.feature import SIFT, match_descriptors
from skimage.measure import ransac
from skimage.transform import ProjectiveTransform, warp

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Registration(typing.Protocol):
    """How pictures come to lie on an image."""

    def __call__(self, gray: Floats, picture: Floats) -> tuple[Floats, Bools]:
        """Bring a picture to an image's frame.

        Args:
            gray: the image, (H, W) in [0, 1].
            picture: (h, w, 3) in [0, 1].

        Returns: the picture (H, W, 3) and where it shows anything (H, W).

        Raises:
            ValueError: it cannot be brought there.
        """
        ...


class SameFrame:
    """For pictures that were taken from where the image was: only their size is checked."""

    def __call__(self, gray: Floats, picture: Floats) -> tuple[Floats, Bools]:
        """See `Registration`."""
        if picture.shape[:2] != gray.shape:
            raise ValueError(f"it has {picture.shape[:2]} pixels, the image {gray.shape}")
        return picture, np.ones(gray.shape, dtype=bool)


class SiftHomography:
    """By the homography that most matches of SIFT features agree on (RANSAC).

    Args:
        ratio: of the distances to the nearest and the next feature, below which a match counts.
        matches: that must be found, and must agree.
        residual: pixels, up to which a match agrees.
        trials: of RANSAC; which matches it tries is the same each time.
    """

    def __init__(
        self, ratio: float = 0.6, matches: int = 10, residual: float = 10, trials: int = 2000
    ) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"SiftHomography.ratio lies in (0, 1], got {ratio}")
        if matches < 4 or residual <= 0 or trials < 1:
            raise ValueError(
                "SiftHomography takes matches from 4, residual above 0 and trials from 1, "
                f"got {matches}, {residual}, {trials}"
            )
        self._ratio, self._matches, self._residual, self._trials = ratio, matches, residual, trials

    def __call__(self, gray: Floats, picture: Floats) -> tuple[Floats, Bools]:
        """See `Registration`."""
        here, there = self._matched(gray, picture.mean(-1))
        found, agree = ransac(
            (here, there),
            ProjectiveTransform,
            min_samples=4,
            residual_threshold=self._residual,
            max_trials=self._trials,
            rng=0,
        )
        if not found or agree.sum() < self._matches:
            raise ValueError(f"fewer than {self._matches} matches with the image agree on a homography")
        laid = warp(picture, found, output_shape=gray.shape, order=1, mode="edge")
        inside = warp(np.ones(picture.shape[:2]), found, output_shape=gray.shape, order=1, cval=0)
        return laid, inside > 0.999

    def _matched(self, gray: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Places (x, y) of matching features, (M, 2) in each."""
        (places, described), (others, theirs) = _features(gray), _features(other)
        if min(len(places), len(others)) > 1:
            pairs = match_descriptors(described, theirs, max_ratio=self._ratio)
            if len(pairs) > self._matches:
                return places[pairs[:, 0]], others[pairs[:, 1]]
        raise ValueError(f"no more than {self._matches} features match the image")


def _features(gray: Floats) -> tuple[Floats, Floats]:
    """Places (x, y) of SIFT's features and what they look like; none where it finds none."""
    sift = SIFT()
    try:
        sift.detect_and_extract(gray)
    except RuntimeError:  # how it says that there are no features
        return np.zeros((0, 2)), np.zeros((0, 128))
    return np.asarray(sift.keypoints, dtype=np.float64)[:, ::-1], np.asarray(sift.descriptors)
