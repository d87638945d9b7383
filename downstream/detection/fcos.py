"""FCOS (arXiv:1904.01355) on given feature maps: torchvision's head, loss and post-processing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from downstream.detection.boxes import Target
from downstream.detection.maps import Pyramid, SingleMap

_GROUPS = 32  # torchvision's FCOS heads use GroupNorm of that many groups


class FcosHead(nn.Module):
    """Neck and FCOS head; images never pass through it, so that maps may come from a cache.

    torchvision's own `forward` would resize images to 800 pixels and apply ImageNet's mean and std; only
    its parts behind the feature maps are used. Its score threshold of .2 would cut off the curve.

    Args:
        neck: encoder maps → maps of `neck.out_channels` channels, finest first.
        strides: image pixels between neighbouring cells of each level.
        classes: number of classes.
        convs: 3×3 convolutions in each of the two towers.
        score_threshold, nms_threshold, max_detections: post-processing.

    Raises:
        ValueError: a width that GroupNorm cannot split into 32 groups.
    """

    def __init__(
        self,
        neck: SingleMap | Pyramid,
        strides: Sequence[int],
        classes: int,
        convs: int = 1,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.6,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        if neck.out_channels % _GROUPS:
            raise ValueError(f"FcosHead: width must be a multiple of {_GROUPS}, got {neck.out_channels}")
        self.strides = tuple(strides)
        self.fcos = FCOS(
            neck,
            classes,
            anchor_generator=AnchorGenerator(tuple((s,) for s in strides), ((1.0,),) * len(strides)),
            head=FCOSHead(neck.out_channels, 1, classes, convs),
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
        )

    def loss(self, maps: Mapping[str, Tensor], targets: list[Target]) -> Tensor:
        """Sum of focal, GIoU and centre-ness loss: a scalar, for maps (B, C, h, w) and B targets."""
        outputs, anchors = self._heads(maps)
        with torch.autocast(anchors[0].device.type, enabled=False):  # box arithmetic needs float32
            losses: dict[str, Tensor] = self.fcos.compute_loss(
                targets, outputs, [torch.cat(anchors)] * len(targets), [len(level) for level in anchors]
            )
        return torch.stack(list(losses.values())).sum()

    def detect(self, maps: Mapping[str, Tensor], image_size: tuple[int, int]) -> list[Target]:
        """Detections of each image of (height, width), best first, clipped to it."""
        outputs, anchors = self._heads(maps)
        counts = [len(level) for level in anchors]
        images = len(outputs["cls_logits"])
        levels = {name: list(torch.split(values, counts, dim=1)) for name, values in outputs.items()}
        found: list[Target] = self.fcos.postprocess_detections(
            levels, [anchors] * images, [image_size] * images
        )
        return found

    def _heads(self, maps: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Head outputs (B, A, …) float32, and the anchors (A_level, 4) of every level."""
        levels = list(self.fcos.backbone(maps).values())
        outputs = {name: values.float() for name, values in self.fcos.head(levels).items()}
        return outputs, self._anchors(levels)

    def _anchors(self, levels: Sequence[Tensor]) -> list[Tensor]:
        device = levels[0].device
        generator = self.fcos.anchor_generator
        # By the declared strides: image size over grid size is off where a network crops its borders.
        generator.set_cell_anchors(torch.float32, device)
        steps = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        anchors: list[Tensor] = generator.grid_anchors([list(level.shape[-2:]) for level in levels], steps)
        return anchors
