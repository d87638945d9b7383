"""BYOL: predict what a teacher makes of another view (Grill et al. 2020, arXiv:2006.07733)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Progress, Step, Task
from pretext.tasks.teacher import follow, momentum, teacher_of
from pretext.tasks.two_views import Pair, Strengths, TwoViews, layer, spread


class Byol(Task):
    """From one view of an image predicts the teacher's projection of the other, both ways, by their cosine.

    The teacher is the moving average of encoder and projector; its momentum follows a cosine. Nothing
    pushes images apart: `projections_spread` in the logs says whether they still are (1), or have become
    one (0). The encoder that is kept is the student's.

    Args:
        encoder: what is trained.
        crop: side of a view in pixels; None for the image's shorter side.
        area: least and largest area of a crop as a share of the image's.
        jitter: strengths of brightness, contrast, saturation and hue.
        gray: probability that a view has no colour.
        blur, solarise: probabilities, of the first and of the second view; the blur is made for 224 pixels.
        hidden, outputs: widths of projector and predictor.
        momentum, last_momentum: the teacher's at the start, and at the end.

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
        hidden: int = 4096,
        outputs: int = 256,
        momentum: float = 0.996,
        last_momentum: float = 1.0,
    ) -> None:
        super().__init__()
        self._two = TwoViews("Byol", crop, area, jitter, gray, blur, solarise)
        if min(hidden, outputs) < 1:
            raise ValueError(f"Byol takes hidden and outputs from 1, got {hidden} and {outputs}")
        for name, share in (("momentum", momentum), ("last_momentum", last_momentum)):
            if not 0 <= share <= 1:
                raise ValueError(f"Byol.{name} is a share in [0, 1], got {share}")
        self.encoder = encoder
        self.projector = _head(encoder.width, hidden, outputs)
        self.predictor = _head(outputs, hidden, outputs)
        self.teacher, self.teacher_projector = teacher_of(encoder), teacher_of(self.projector)
        self._momentum, self._last_momentum = momentum, last_momentum

    def initialise_from(self, parent: Task) -> None:
        """Start student and teacher from another task's encoder."""
        super().initialise_from(parent)
        self.teacher.load_state_dict(self.encoder.state_dict())

    def views(self, images: Images, generator: torch.Generator) -> Pair:
        """Draw two views of each image, the second in another way than the first."""
        return self._two(images.pixels, generator)

    def loss(self, batch: Pair) -> Step:
        """Return 2 − 2 cos of prediction and projection, summed over both ways: 0 to 8."""
        projected = [self.projector(self.encoder.vector(view)) for view in batch.pixels]
        with torch.no_grad():
            targets = [self.teacher_projector(self.teacher.vector(view)) for view in batch.pixels]
        loss = projected[0].new_zeros(())
        for view, target in zip(projected, reversed(targets), strict=True):
            loss = loss + (2 - 2 * F.cosine_similarity(self.predictor(view).float(), target.float())).mean()
        return Step(loss, {"loss": loss.detach(), "projections_spread": spread(projected[0])})

    def chance(self, batch: Pair) -> dict[str, float]:
        """Return what predictions cost that have nothing to do with what they predict."""
        return {"loss": 4.0}

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        rate = momentum(self._momentum, progress, self._last_momentum)
        follow(self.teacher, self.encoder, rate)
        follow(self.teacher_projector, self.projector, rate)

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return two views of each image."""
        return self.views(images, torch.Generator().manual_seed(0)).shown()


def _head(width: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*layer(width, hidden, bias=True), nn.Linear(hidden, outputs, bias=False))
