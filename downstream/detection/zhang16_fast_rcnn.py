"""Fast R-CNN fine-tuned as representation learning publishes it (arXiv:1603.08511, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.detection.end_to_end import OneDetector
from downstream.detection.fast_rcnn import FastRcnnDetector
from downstream.detection.proposals import Propose, propose
from downstream.detection.rcnn import checked_sizes
from downstream.protocol import Runtime
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from pretext.encoder import Encoder


@dataclass(frozen=True)
class Zhang16FastRcnn(OneDetector):
    """Fast R-CNN (arXiv:1504.08083) on the regions of selective search, the encoder fine-tuned with it.

    As published for VOC 2007: 150 k iterations, the rate divided by ten every 50 k, several sizes in training
    and one in testing (arXiv:1511.06856). What these papers leave to Fast R-CNN is its released default: two
    images a step, 64 regions of each, rate 1e-3, weight decay 5e-4, momentum 0.9, images mirrored, short side
    600 in testing; 400, 500, 600 and 700 in training are remembered from later evaluations. Regions see the
    image in colour, whatever the encoder sees, and are the same for all encoders. Not as published: regions
    are those of this suite's own selective search; fc6 and fc7 are new, from He's normal distribution; biases
    learn at the rate of weights, without decay. What such papers print is VOC's 11-point AP.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        scales: of selective search. regions_found: of an image at most.
        regions: sampled from the proposals of an image for the loss.
        hidden: width of fc6 and fc7. dropout: behind each, in [0, 1).
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
        stage: the stage that regions are pooled on; the last without it.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a value out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=150_000,
            milestones=(50_000, 100_000),
            batch_size=2,
            lr=1e-3,
            weight_decay=5e-4,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    scales: tuple[int, ...] = (50, 100)
    regions_found: int = 2000
    regions: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    min_sizes: tuple[int, ...] = (400, 500, 700, 600)
    max_size: int = 1000
    stage: str | None = None
    name = "zhang16_fast_rcnn"
    version = 1
    paper = "arXiv:1603.08511"

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", checked_sizes(self.name, self.min_sizes, self.max_size))
        # Lists come from configuration files.
        object.__setattr__(self, "scales", tuple(int(scale) for scale in self.scales))
        good = {
            "scales": bool(self.scales) and min(self.scales, default=0) >= 1,
            "regions_found": self.regions_found >= 1,
            "regions": self.regions >= 1,
            "hidden": self.hidden >= 1,
            "dropout": 0 <= self.dropout < 1,
        }
        for name, within in good.items():
            if not within:
                raise ValueError(f"{self.name}: {name}={getattr(self, name)!r} is out of range")

    def build(self, encoder: Encoder, classes: int) -> FastRcnnDetector:
        """Fast R-CNN on one stage."""
        stage = encoder.stages[-1] if self.stage is None else encoder.backbone.stage(self.stage)
        return FastRcnnDetector(
            encoder,
            stage,
            classes,
            self.regions,
            self.hidden,
            self.dropout,
            self.min_sizes,
            self.max_size,
        )

    def proposing(self, runtime: Runtime) -> Propose:
        """Selective search."""
        return lambda split: propose(split, self.scales, self.regions_found, runtime)
