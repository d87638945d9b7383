"""Means over near pixels that look alike in another image (Petschnigg 2004, doi:10.1145/1015706.1015777)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def smoothed(
    values: Floats, guide: Floats, reach: int = 5, by_guide: float = 0.1, by_space: float = 3.0
) -> Floats:
    """Means of values (C, H, W) over a disc, weighted by Gaussians of distance and of the guide's difference.

    Args:
        guide: (H, W).
        reach: radius of the disc in pixels, which is cut at the border; 5 is a diameter of 11.
        by_guide: standard deviation in the guide's units.
        by_space: standard deviation in pixels.

    Raises:
        ValueError: another size, a negative reach, or a deviation that is not positive.
    """
    if values.ndim != 3 or values.shape[1:] != guide.shape:
        raise ValueError(
            f"joint_bilateral.smoothed takes values (C, H, W) and a guide (H, W), "
            f"got {values.shape}, {guide.shape}"
        )
    if reach < 0 or not (by_guide > 0 and by_space > 0):
        raise ValueError(
            "joint_bilateral.smoothed takes a reach from 0 and positive deviations, "
            f"got {reach}, {by_guide}, {by_space}"
        )
    height, width = guide.shape
    rows, columns = min(reach, height - 1), min(reach, width - 1)
    values = np.ascontiguousarray(values)
    total, weight = values.copy(), np.ones_like(guide)
    # Pixels are as like each other in both directions: half of the disc is enough.
    for down in range(rows + 1):
        for right in range(-columns if down else 1, columns + 1):
            far = down**2 + right**2
            if far > reach**2:
                continue
            upper = slice(0, height - down), slice(max(0, -right), width - max(0, right))
            lower = slice(down, height), slice(max(0, right), width + min(0, right))
            like = np.exp(-((guide[lower] - guide[upper]) ** 2) / (2 * by_guide**2) - far / (2 * by_space**2))
            for one, other in ((upper, lower), (lower, upper)):
                weight[one] += like
                for own, smooth in zip(values, total, strict=True):
                    smooth[one] += like * own[other]
    return total / weight
