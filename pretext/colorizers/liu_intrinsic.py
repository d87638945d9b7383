"""Intrinsic colorization: a scene's own colours, from pictures under other lights (Liu et al. 2008)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers import given, linear_light
from pretext.colorizers.arrays import together
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.levin import propagate
from pretext.colorizers.registration import Registration
from pretext.colorizers.weiss import LEAST, reflectance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class LiuIntrinsic:
    """Gives an image the colours of its scene's reflectance (Liu, Wan, Qu, Wong, Lin, Leung & Heng 2008).

    Pictures of the same scene are registered with the image; what they have in common under their several
    lights is the reflectance (`weiss`). The image over the reflectance's gray is its illumination. Where the
    pictures agree the reflectance's colours are taken, elsewhere Levin's propagation fills them in, and the
    illumination is multiplied back. Multiplied and divided is the same number: of the reflectance only its
    chromaticity counts, and errors of its brightness do not.

    The paper's text was out of reach. Remembered are the steps; our own are the measure of agreement (the
    derivatives' median absolute deviation) and that light is linear, whose gray is CIE's Y. So the lightness
    is exactly the image's.

    Args:
        registration: how pictures come to lie on the image: `registration.SiftHomography`, or
            `registration.SameFrame` where they do already.
        tolerance: of agreement, in natural logarithms of light a pixel.
    """

    def __init__(self, registration: Registration, tolerance: float = 0.25) -> None:
        if not tolerance > 0:
            raise ValueError(f"LiuIntrinsic.tolerance lies above 0, got {tolerance}")
        self._registration, self._tolerance = registration, tolerance

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads references, 3 or more, of the scene itself.

        Raises:
            ValueError: fewer references, or one without colour or that cannot be registered; or they agree
                nowhere.
        """
        ab = [self._colored(image) for image in one_by_one("LiuIntrinsic", lightness, hints)]
        return together("LiuIntrinsic", ab, lightness)

    def _colored(self, image: Given) -> Floats:
        """The ab (2, H, W) of one image."""
        luminance = linear_light.luminance_of(image.lightness)
        gray = linear_light.to_srgb(luminance)
        laid, seen = [], []
        for i, picture in enumerate(given.references(image, LEAST)):
            try:
                one, there = self._registration(gray, picture.double().cpu().permute(1, 2, 0).numpy())
            except ValueError as error:
                raise ValueError(f"{image.where}: reference {i} was not registered: {error}") from error
            laid.append(linear_light.from_srgb(one))
            seen.append(there)
        try:
            light = relit(luminance, np.stack(laid), np.stack(seen), self._tolerance)
        except ValueError as error:
            raise ValueError(f"{image.where}: {error}") from error
        srgb = torch.from_numpy(linear_light.to_srgb(light).clip(0, 1)).permute(2, 0, 1)[None]
        return np.asarray(rgb_to_lab(srgb)[0, 1:].numpy())


def relit(luminance: Floats, pictures: Floats, seen: Bools, tolerance: float) -> Floats:
    """The scene in colour under the light of a gray picture of it.

    Args:
        luminance: Y (H, W) in [0, 1] of the gray picture.
        pictures, seen, tolerance: see `weiss.reflectance`.

    Returns:
        (H, W, 3) linear light whose Y is `luminance`.

    Raises:
        ValueError: fewer than 3 pictures, or they agree nowhere.
    """
    scene = reflectance(pictures, seen, tolerance)
    if not scene.agreed.any():
        raise ValueError("the references agree nowhere: they are not registered, or not of one scene")
    chromaticity = scene.light / (scene.light @ linear_light.LUMINANCE)[..., None]  # (H, W, 3), of Y = 1
    if not scene.agreed.all():
        # Of colours of Y = 1 the weighted means have Y = 1, so that all three channels may spread alone.
        gray = linear_light.to_srgb(luminance).clip(0, 1)
        chromaticity = propagate(gray, chromaticity, scene.agreed)
    return np.asarray(luminance[..., None] * chromaticity)
