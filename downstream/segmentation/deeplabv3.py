"""DeepLabv3's head, fine-tuned together with the encoder (arXiv:1706.05587)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from downstream.segmentation.end_to_end import EndToEnd
from downstream.tuning.finetuning import Norm, Optimiser, Tuning
from downstream.tuning.iterations import PolynomialRecipe
from downstream.tuning.rates import WithRates


@dataclass(frozen=True)
class DeepLabV3(WithRates, EndToEnd):
    """Atrous spatial pyramid pooling on one stage (torchvision's head), all trained end to end.

    The head reads the stage's map at several atrous rates and as a whole, 256 channels each, and joins them;
    its logits are upsampled bilinearly to the image. The budget is that of arXiv:1706.05587 for output stride
    16: 30 k iterations of 16 images at 0.007, falling to zero by the power 0.9, BatchNorm trained. Not as
    published: the encoder keeps its strides instead of having its last stages dilated, images are mirrored
    but neither scaled nor cropped, and there is no second training at output stride 8.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm; two images a step or more.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        rates: atrous rates, in cells of the stage's map.
        stage: the stage under the head; the last without it.
        flip: mirror training images and masks at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: rates that are not positive, or a batch of one: the head's BatchNorm after pooling has no
            variance of one image.
    """

    recipe: Tuning = field(
        default_factory=lambda: PolynomialRecipe(
            iterations=30_000,
            power=0.9,
            batch_size=16,
            lr=0.007,
            weight_decay=1e-4,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.TRAIN,
        )
    )
    rates: tuple[int, ...] = (6, 12, 18)
    flip: bool = True
    name = "deeplabv3"
    version = 1
    paper = "arXiv:1706.05587"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rates", tuple(int(rate) for rate in self.rates))
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"{self.name}: rates={self.rates!r} is out of range")
        if self.recipe.batch_size < 2:
            raise ValueError(f"{self.name}: batch_size={self.recipe.batch_size!r} is out of range; 2 or more")

    @property
    def flips(self) -> bool:
        """As given."""
        return self.flip

    def head(self, channels: int, classes: int) -> nn.Module:
        """Torchvision's."""
        built: nn.Module = DeepLabHead(channels, classes, self.rates)
        return built
