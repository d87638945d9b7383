"""Barlow Twins: channels of two views agree, and do not repeat (Zbontar et al. 2021, arXiv:2103.03230)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretext.encoder import Encoder
from pretext.gather import gather
from pretext.task import Images, Step, Task
from pretext.tasks.two_views import Pair, Strengths, TwoViews, layer, spread


class BarlowTwins(Task):
    """Brings the correlations between the projections' channels, over the batch, close to the identity.

    Each view's channels are standardised by BatchNorm without scale and shift, so that C = Z₁ᵀ Z₂ / N holds
    correlations. The loss is Σ (1 − Cᵢᵢ)² + λ Σ Cᵢⱼ², times `scale`: D where all outputs are constant.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur, solarise: probabilities, of the first and of the second view; the blur is made for 224 pixels.
        hidden: width of the projector's three layers, and D.
        redundancy: λ.
        scale: of the loss, and so of gradients that are clipped.

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
        redundancy: float = 0.0051,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._two = TwoViews("BarlowTwins", crop, area, jitter, gray, blur, solarise)
        if hidden < 2:
            raise ValueError(f"BarlowTwins.hidden is a number from 2, got {hidden}")
        if not (redundancy > 0 and scale > 0):
            raise ValueError(f"BarlowTwins takes positive redundancy and scale, got {redundancy} and {scale}")
        self.encoder = encoder
        inner = [*layer(encoder.width, hidden), *layer(hidden, hidden)]
        self.projector = nn.Sequential(*inner, nn.Linear(hidden, hidden, bias=False))
        self.norm = nn.BatchNorm1d(hidden, affine=False)
        self._redundancy, self._scale = redundancy, scale

    def views(self, images: Images, generator: torch.Generator) -> Pair:
        """Draw two views of each image, the second in another way than the first."""
        return self._two(images.pixels, generator)

    def loss(self, batch: Pair) -> Step:
        """Return the loss over the images of all processes, which are standardised together."""
        one, two = (self.projector(self.encoder.vector(view)) for view in batch.pixels)
        # Mixed precision's products have too few digits for sums over a batch.
        with torch.autocast(one.device.type, enabled=False):
            one_normal, two_normal = (self.norm(gather(vectors.float())) for vectors in (one, two))
            loss = barlow(one_normal, two_normal, self._redundancy)
        loss = loss * self._scale
        return Step(loss, {"loss": loss.detach(), "projections_spread": spread(one)})

    def blind(self, batch: Pair) -> dict[str, float]:
        """Return what outputs cost that are all the same: no channel agrees with itself."""
        return {"loss": self._scale * self.norm.num_features}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()


def barlow(one: Tensor, two: Tensor, redundancy: float) -> Tensor:
    """Σ (1 − Cᵢᵢ)² + λ Σ Cᵢⱼ² of standardised channels (N, D), C = Z₁ᵀ Z₂ / N."""
    correlation = one.T @ two / len(one)
    own = correlation.diagonal()
    off = correlation.square().sum() - own.square().sum()
    return (1 - own).square().sum() + redundancy * off
