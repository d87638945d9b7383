"""Fine-tuned detection: a copy of the encoder and FCOS, trained end to end."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from downstream.detection.baselines import blind_detectors
from downstream.detection.boxes import Target, check_boxes
from downstream.detection.end_to_end import Detector, fit_detectors
from downstream.detection.fcos import FcosHead
from downstream.detection.maps import Pyramid, SingleMap, pyramid_stages
from downstream.detection.scoring import FittedDetectors, detection_metrics
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime, require_positive
from downstream.selection import several
from downstream.tuning.finetuning import Norm, Optimiser, Recipe
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


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
class DetectionFinetune(Protocol):
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

    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=4,
            least_steps=200,
            batch_size=16,
            lr=5e-3,
            backbone_lr=0.2,
            weight_decay=1e-2,
            clip=1.0,
            optimiser=Optimiser.ADAMW,
            norm=Norm.EVAL,
        )
    )
    lrs: tuple[float, ...] = ()
    pyramid: bool = False
    width: int = 64
    convs: int = 1
    flip: bool = True
    train_limit: int | None = None
    name = "detection_finetune"
    version = 1
    task = "detection"
    trains_encoder = True

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        require_positive(self, "width", "train_limit")
        if self.convs < 0:
            raise ValueError(f"{type(self).__name__}: convs must be at least 0, got {self.convs}")

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.lrs)

    def check(self, train: Split, *held: Split) -> None:
        """See `check_boxes`."""
        check_boxes(limit(train, self.train_limit), *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedDetectors:
        """Train one detector a learning rate, keep the one that is best on val.

        Raises:
            ValueError: boxes that are missing or bad (names split and image), or no box in train.
        """

        def build(copied: Encoder, classes: int) -> FcosDetector:
            return FcosDetector(copied, classes, self.pyramid, self.width, self.convs)

        train = limit(train, self.train_limit)
        return fit_detectors(build, encoder, train, val, self.recipe, self.lrs, self.flip, runtime)

    def metrics(self, split: Split) -> dict[str, Metric]:
        """See `detection_metrics`."""
        return detection_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_detectors`."""
        return blind_detectors()
