"""SimSiam: predict one view's projection from the other's (Chen & He 2021, arXiv:2011.10566)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.two_views import Pair, Strengths, TwoViews, layer, spread


class SimSiam(Task):
    """From one view's projection predicts the other's, both ways; what is predicted gets no gradient.

    The predictor's learning rate stays at its peak; all weights are decayed, biases and BatchNorm's too.
    `projections_spread` in the logs says whether images are still told apart (1), or have become one (0).

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur: probability that a view is blurred, by widths that are made for 224 pixels.
        blur_kernel: side of the blur's kernel in pixels, odd; None for a tenth of the view's.
        hidden: width of the projector; bottleneck: of the predictor.
        layers: of the projector, BatchNorm in each, the last without ReLU and without scale and shift.

    Raises:
        ValueError: a value out of its range.
    """

    least_batch = 2

    def __init__(
        self,
        encoder: Encoder,
        crop: int | None = None,
        area: tuple[float, float] = (0.2, 1.0),
        jitter: Strengths = (0.4, 0.4, 0.4, 0.1),
        gray: float = 0.2,
        blur: float = 0.5,
        hidden: int = 2048,
        bottleneck: int = 512,
        layers: int = 3,
        blur_kernel: int | None = None,
    ) -> None:
        super().__init__()
        self._two = TwoViews("SimSiam", crop, area, jitter, gray, (blur, blur), blur_kernel=blur_kernel)
        if min(hidden, bottleneck, layers) < 1:
            raise ValueError(
                f"SimSiam takes hidden, bottleneck and layers from 1, got {hidden}, {bottleneck}, {layers}"
            )
        self.encoder = encoder
        widths = [encoder.width, *[hidden] * layers]
        inner = [each for before, after in pairwise(widths[:-1]) for each in layer(before, after)]
        last = [nn.Linear(widths[-2], hidden, bias=False), nn.BatchNorm1d(hidden, affine=False)]
        self.projector = nn.Sequential(*inner, *last)
        self.predictor = nn.Sequential(*layer(hidden, bottleneck), nn.Linear(bottleneck, hidden))

    def views(self, images: Images, generator: torch.Generator) -> Pair:
        """Draw two views of each image alike."""
        return self._two(images.pixels, generator)

    def loss(self, batch: Pair) -> Step:
        """Return minus the cosine of prediction and projection, the mean of both ways: −1 to 1."""
        one, two = (self.projector(self.encoder.vector(view)).float() for view in batch.pixels)
        alike = [
            F.cosine_similarity(self.predictor(view).float(), target.detach()).mean()
            for view, target in ((one, two), (two, one))
        ]
        loss = -(alike[0] + alike[1]) / 2
        return Step(loss, {"loss": loss.detach(), "projections_spread": spread(one)})

    def param_groups(self) -> list[dict[str, Any]]:
        """The predictor at a constant rate, and the rest; all decayed."""
        rest = [*self.encoder.parameters(), *self.projector.parameters()]
        return [{"params": rest}, {"params": list(self.predictor.parameters()), "constant_lr": True}]

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()
