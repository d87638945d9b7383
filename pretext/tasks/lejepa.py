"""LeJEPA: views agree on vectors spread like a Gaussian (Balestriero & LeCun 2025, arXiv:2511.08544)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.gather import gather, processes
from pretext.task import Images, Step, Task
from pretext.tasks.two_views import Strengths, check_views, distorted, layer, spread

KNOTS, REACH = 17, 3.0
"""Points of the characteristic function from 0 to `REACH` that are compared."""


class Several(NamedTuple):
    """pixels: (V, B, 3, S, S) in [0, 1]; slices: (D, M), unit directions."""

    pixels: Tensor
    slices: Tensor


class LeJepa(Task):
    """Brings the vectors of an image's views to their mean, and those of a view to a standard Gaussian.

    The second is SIGReg: along random directions, the distance of the empirical characteristic function from
    the Gaussian's, times N. All images being one costs .40 N, a perfect Gaussian 1.05. It has no teacher, no
    stopped gradient and no negatives. As in the minimal release, views are alike, and the mean is over all.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        count: views an image.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray, blur, solarise: probabilities of each view; the blur is made for 224 pixels.
        hidden, outputs: widths of the projector's two hidden layers, and of the vectors.
        weight: λ of SIGReg, beside 1 − λ; it goes with the batch, N.
        slices: directions a step.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        count: int = 4,
        area: tuple[float, float] = (0.08, 1.0),
        jitter: Strengths = (0.8, 0.8, 0.8, 0.2),
        gray: float = 0.2,
        blur: float = 0.5,
        solarise: float = 0.2,
        hidden: int = 2048,
        outputs: int = 16,
        weight: float = 0.02,
        slices: int = 256,
    ) -> None:
        super().__init__()
        check_views("LeJepa", crop, area, jitter, gray, (blur, blur), (solarise, solarise))
        if count < 2 or min(hidden, outputs, slices) < 1:
            raise ValueError(
                "LeJepa takes count from 2, hidden, outputs and slices from 1, "
                f"got {count}, {hidden}, {outputs}, {slices}"
            )
        if not 0 <= weight <= 1:
            raise ValueError(f"LeJepa.weight is a share in [0, 1], got {weight}")
        self.encoder = encoder
        inner = [*layer(encoder.width, hidden), *layer(hidden, hidden)]
        self.projector = nn.Sequential(*inner, nn.Linear(hidden, outputs))
        self._crop, self._count, self._area, self._jitter, self._gray = crop, count, area, jitter, gray
        self._blur, self._solarise, self._weight = blur, solarise, weight
        self._slices, self._outputs = slices, outputs

    def views(self, images: Images, generator: torch.Generator) -> Several:
        """Draw views of each image, and directions."""
        side = self._crop or min(images.pixels.shape[-2:])
        wanted = [views.Crops(self._count, side, self._area)]
        (crops,) = views.multi_crop(images.pixels, wanted, generator, kernel=views.BICUBIC)
        pixels = distorted(
            crops.flatten(0, 1), generator, self._jitter, self._gray, self._blur, self._solarise
        )
        slices = F.normalize(torch.randn(self._outputs, self._slices, generator=generator), dim=0)
        return Several(pixels.view(crops.shape), slices.to(pixels.device))

    def loss(self, batch: Several) -> Step:
        """Return (1 − λ) · agreement + λ · SIGReg, and both."""
        count = batch.pixels.shape[1]
        vectors = self.projector(self.encoder.vector(batch.pixels.flatten(0, 1)))
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float().view(len(batch.pixels), count, -1)  # (V, B, D)
            agreement = (vectors - vectors.mean(0)).square().mean()
            every = gather(vectors.transpose(0, 1)).transpose(0, 1)  # (V, N, D)
            gaussian = torch.stack([sigreg(view, batch.slices) for view in every]).mean()
        loss = (1 - self._weight) * agreement + self._weight * gaussian
        logs = {"loss": loss, "agreement": agreement, "sigreg": gaussian}
        return Step(
            loss, {**{k: v.detach() for k, v in logs.items()}, "projections_spread": spread(vectors[0])}
        )

    def blind(self, batch: Several) -> dict[str, float]:
        """Return what outputs cost that are all zero, the best of those that are all the same."""
        nothing = batch.slices.new_zeros(batch.pixels.shape[1] * processes(), self._outputs)
        return {"loss": self._weight * float(sigreg(nothing, batch.slices))}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        one, two = self.views(images, torch.Generator().manual_seed(0)).pixels[:2]
        return {"view 1": one, "view 2": two}


def sigreg(vectors: Tensor, slices: Tensor) -> Tensor:
    """How far (N, D) is from a standard Gaussian along directions (D, M), the mean over these.

    N ∫ |φ(t) − exp(−t²/2)|² exp(−t²/2) dt with the empirical characteristic function φ, from −3 to 3 by the
    trapezoid rule on 17 knots of the half line, after Epps and Pulley.
    """
    knots = torch.linspace(0, REACH, KNOTS, device=vectors.device, dtype=vectors.dtype)
    step = REACH / (KNOTS - 1)
    weights = torch.full_like(knots, 2 * step)
    weights[[0, -1]] = step
    normal = (-knots.square() / 2).exp()
    angles = (vectors @ slices)[:, :, None] * knots  # (N, M, T)
    real, imaginary = angles.cos().mean(0), angles.sin().mean(0)
    distance = (real - normal).square() + imaginary.square()
    return len(vectors) * (distance * normal * weights).sum(1).mean()
