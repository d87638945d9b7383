"""VICReg: views agree, channels vary, and say different things (Bardes et al. 2022, arXiv:2105.04906)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.gather import gather
from pretext.task import Images, Step, Task
from pretext.tasks.two_views import Pair, Strengths, TwoViews, layer, spread

EPSILON = 1e-4
"""Added to variances, as published."""


class Terms(NamedTuple):
    """What VICReg weighs, () each.

    invariance: mean squared difference. variance: what deviations lack to 1. covariance: Σ of squares off the
    diagonal, by D.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


class VICReg(Task):
    """Keeps two views' projections close, each channel's deviation at 1, and channels uncorrelated.

    As released, not as printed: the variance term is the mean of both views', the covariance term their sum.
    Where all outputs are constant, the loss is `variance` · (1 − √ε) = 24.75.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur, solarise: probabilities, of the first and of the second view; the blur is made for 224 pixels.
        hidden: width of the expander's three layers, and D.
        invariance, variance, covariance: weights of the terms.

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        jitter: Strengths = (0.4, 0.4, 0.2, 0.1),
        gray: float = 0.2,
        blur: tuple[float, float] = (1.0, 0.1),
        solarise: tuple[float, float] = (0.0, 0.2),
        hidden: int = 8192,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        self._two = TwoViews("VICReg", crop, area, jitter, gray, blur, solarise)
        if hidden < 2:
            raise ValueError(f"VICReg.hidden is a number from 2, got {hidden}")
        self._weights = (invariance, variance, covariance)
        if min(self._weights) < 0:
            raise ValueError(f"VICReg takes weights of terms from 0, got {self._weights}")
        self.encoder = encoder
        inner = [*layer(encoder.width, hidden, bias=True), *layer(hidden, hidden, bias=True)]
        self.expander = nn.Sequential(*inner, nn.Linear(hidden, hidden, bias=False))

    def views(self, images: Images, generator: torch.Generator) -> Pair:
        """Draw two views of each image, the second in another way than the first."""
        return self._two(images.pixels, generator)

    def loss(self, batch: Pair) -> Step:
        """Return the weighted sum of the three terms, and each, over the images of all processes."""
        one, two = (self.expander(self.encoder.vector(view)) for view in batch.pixels)
        # In half precision the sums overflow.
        with torch.autocast(one.device.type, enabled=False):
            terms = vicreg(gather(one.float()), gather(two.float()))
        loss = sum((w * term for w, term in zip(self._weights, terms, strict=True)), one.new_zeros(()))
        logs = {name: term.detach() for name, term in terms._asdict().items()}
        return Step(loss, {"loss": loss.detach(), **logs, "projections_spread": spread(one)})

    def blind(self, batch: Pair) -> dict[str, float]:
        """Return what outputs cost that are all the same."""
        return {"loss": self._weights[1] * (1 - math.sqrt(EPSILON))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()


def vicreg(one: Tensor, two: Tensor) -> Terms:
    """The three terms of two views (N, D); one image alone, the last of val, does not vary."""
    degrees = max(len(one) - 1, 1)
    lacking = [
        F.relu(1 - (view.var(dim=0, correction=len(one) - degrees) + EPSILON).sqrt()).mean()
        for view in (one, two)
    ]
    shared = one.new_zeros(())
    for view in (one, two):
        centred = view - view.mean(dim=0)
        covariance = centred.T @ centred / degrees
        shared = shared + (covariance.square().sum() - covariance.diagonal().square().sum()) / view.shape[1]
    return Terms(F.mse_loss(one, two), (lacking[0] + lacking[1]) / 2, shared)
