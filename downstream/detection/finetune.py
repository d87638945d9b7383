"""Fine-tuned detection: a copy of the encoder and FCOS, trained end to end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from downstream.detection.boxes import Target
from downstream.detection.end_to_end import Detector, OneDetector
from downstream.detection.fcos import FcosHead
from downstream.detection.maps import Pyramid, SingleMap, pyramid_stages
from downstream.protocol import require_positive
from downstream.tuning.finetuning import Recipe
from downstream.tuning.rates import WithRates
from downstream.tuning.short import SHORT
from pretext.encoder import Encoder

OWN = replace(SHORT, epochs=4, lr=5e-3, backbone_lr=0.2, clip=1.0)
"""As classification and segmentation are fine-tuned, the encoder more slowly and gradients clipped."""


class FcosDetector(Detector):
    """An encoder up to its last needed stage, and FCOS on one map or on a pyramid."""

    def __init__(self, encoder: Encoder, classes: int, pyramid: bool, width: int, convs: int) -> None:
        super().__init__(encoder)
        stages = pyramid_stages(encoder.stages) if pyramid else encoder.stages[-1:]
        neck = Pyramid(stages, width) if pyramid else SingleMap(stages[0], width)
        self.stage = encoder.stages[-1].name
        self.head = FcosHead(neck, [stage.stride for stage in stages], classes, convs)

    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return the sum of FCOS's three losses."""
        return self.head.loss(self.encoder(rgb, stop=self.stage).maps, targets)

    def detect(self, rgb: Tensor, given: list[Target]) -> list[Target]:
        """Detections of each image."""
        height, width = rgb.shape[-2:]
        return self.head.detect(self.encoder(rgb, stop=self.stage).maps, (height, width))


@dataclass(frozen=True)
class DetectionFinetune(WithRates, OneDetector):
    """Train a copy of the encoder and an FCOS head on its last stage, end to end.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        pyramid: detect on a pyramid over the last stage of every stride from 4 on.
        width: channels of the neck and the head, a multiple of 32.
        convs: 3×3 convolutions in each of the head's two towers.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: Recipe = OWN
    pyramid: bool = False
    width: int = 64
    convs: int = 1
    name = "detection_finetune"
    version = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "width", "train_limit")
        if self.convs < 0:
            raise ValueError(f"{type(self).__name__}: convs must be at least 0, got {self.convs}")

    def build(self, encoder: Encoder, classes: int) -> FcosDetector:
        """FCOS on the last stage, or on a pyramid."""
        return FcosDetector(encoder, classes, self.pyramid, self.width, self.convs)
