"""RetinaNet (arXiv:1708.02002) on an encoder, fine-tuned end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from downstream.detection.boxes import Target
from downstream.detection.end_to_end import Detector, OneDetector
from downstream.detection.maps import pyramid_stages
from downstream.detection.rcnn import IMAGES_AT_ONCE, RATIOS, PyramidMaps, checked_sizes
from downstream.protocol import require_positive
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from pretext.encoder import Encoder

_FINEST = 8
_OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


class StridedAnchors(AnchorGenerator):  # type: ignore[misc]  # torchvision is untyped
    """Three scales and three ratios around every cell, one cell every declared stride of pixels.

    Torchvision divides the image by the grid, which is off where coarse levels round their size up.

    Args:
        strides: of the levels, finest first; anchors are four strides large and up.
    """

    def __init__(self, strides: Sequence[int]) -> None:
        self.strides = tuple(strides)
        sizes = tuple(tuple(int(4 * stride * octave) for octave in _OCTAVES) for stride in strides)
        super().__init__(sizes, (RATIOS,) * len(sizes))

    def forward(self, images: ImageList, levels: list[Tensor]) -> list[Tensor]:
        """Anchors (A, 4) of each image, for levels (B, C, h, w)."""
        device = levels[0].device
        self.set_cell_anchors(torch.float32, device)
        steps = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        anchors = torch.cat(self.grid_anchors([list(level.shape[-2:]) for level in levels], steps))
        return [anchors] * len(images.image_sizes)


class RetinaNetDetector(Detector):
    """Torchvision's RetinaNet on an encoder; the encoder's own input is the only normalisation.

    The pyramid is over the last stage of every stride from 8 on, with two coarser levels behind it, the first
    made from the last stage itself.

    Args:
        classes: number of classes.
        width: channels of the pyramid and of the two towers.
        min_sizes, max_size: as in `RcnnDetector`.

    Raises:
        ValueError: no stage has a stride of 8 or more.
    """

    def __init__(
        self, encoder: Encoder, classes: int, width: int, min_sizes: Sequence[int], max_size: int
    ) -> None:
        super().__init__(encoder)
        self.stage = encoder.stage_names[-1]
        strides = [stage.stride for stage in pyramid_stages(encoder.stages, _FINEST)]
        coarser = LastLevelP6P7(encoder.stages[-1].channels, width)
        coarser.use_P5 = False  # torchvision would decide by the number of channels
        self.retinanet = RetinaNet(
            PyramidMaps(encoder, width, _FINEST, coarser),
            classes,
            min_size=tuple(min_sizes),
            max_size=max_size,
            image_mean=[0.0] * 3,
            image_std=[1.0] * 3,
            anchor_generator=StridedAnchors([*strides, 2 * strides[-1], 4 * strides[-1]]),
            detections_per_img=100,
        )

    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return the sum of the focal loss and the boxes' loss."""
        losses: dict[str, Tensor] = self.retinanet(list(rgb), targets)
        return torch.stack(list(losses.values())).sum()

    def detect(self, rgb: Tensor, given: list[Target]) -> list[Target]:
        """Detections of each image."""
        parts = torch.split(rgb, IMAGES_AT_ONCE)
        return [found for part in parts for found in self.retinanet(list(part))]


@dataclass(frozen=True)
class RetinaNetFinetune(OneDetector):
    """RetinaNet with a copy of the encoder, everything trained.

    The published schedule for COCO: 90 k iterations of 16 images at 0.01, divided by ten at 60 k and 80 k,
    weight decay 1e-4, BatchNorm fixed; short side 800. Every stage's map is normalised before the pyramid, so
    that the rate means the same for features of any magnitude. The warm-up of 500 iterations is that of the
    released code. Nothing is chosen on val. Losses are torchvision's.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        width: channels of the pyramid and of the two towers, whose initial deviation of .01 is made for 256:
            at 64 almost nothing passes their four layers, and hundreds of steps go by before boxes appear.
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: sizes out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=90_000,
            milestones=(60_000, 80_000),
            batch_size=16,
            lr=0.01,
            weight_decay=1e-4,
            warmup_iterations=500,
            warmup_factor=1 / 3,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    width: int = 256
    min_sizes: tuple[int, ...] = (800,)
    max_size: int = 1333
    name = "retinanet"
    version = 1
    paper = "arXiv:1708.02002"

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", checked_sizes(self.name, self.min_sizes, self.max_size))
        require_positive(self, "width")

    def build(self, encoder: Encoder, classes: int) -> RetinaNetDetector:
        """RetinaNet on a pyramid."""
        return RetinaNetDetector(encoder, classes, self.width, self.min_sizes, self.max_size)
