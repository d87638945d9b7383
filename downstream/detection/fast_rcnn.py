"""Fast R-CNN (arXiv:1504.08083) on an encoder: given regions, classified and refined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import RoIPool, box_iou

from downstream.detection.boxes import Target
from downstream.detection.end_to_end import Detector
from downstream.detection.rcnn import IMAGES_AT_ONCE
from pretext.backbones import Stage
from pretext.encoder import Encoder

CELLS = 6
"""Cells of a region's map on each side, as in front of AlexNet's fc6."""

_OBJECT, _NEAR = 0.5, 0.1
_NMS, _KEPT = 0.3, 100
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class _RegionPool(nn.Module):
    """The largest activations in each cell of each region, on the map of one stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage.name
        self.pool = RoIPool(CELLS, 1 / stage.stride)

    def forward(
        self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        pooled: Tensor = self.pool(maps[self.stage], regions)
        return pooled


class FastRcnnDetector(Detector):
    """Regions on the map of one stage, max-pooled to 6 × 6, under two hidden layers.

    Losses, sampling of the published shares (a quarter objects, overlaps of .5 and more; the rest background
    that overlaps an object by .1 at least) and post-processing are torchvision's, with the published values.
    An image without objects, which the paper leaves out, has all its regions as background.

    Args:
        stage: the stage that regions are pooled on.
        regions: sampled from the proposals of an image for the loss.
        hidden: width of both hidden layers. dropout: behind each, in [0, 1).
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
    """

    def __init__(
        self,
        encoder: Encoder,
        stage: Stage,
        classes: int,
        regions: int,
        hidden: int,
        dropout: float,
        min_sizes: Sequence[int],
        max_size: int,
    ) -> None:
        super().__init__(encoder)
        self.stage = stage.name
        # The encoder's own input is the only normalisation.
        self.transform = GeneralizedRCNNTransform(tuple(min_sizes), max_size, [0.0] * 3, [1.0] * 3)
        self.heads = RoIHeads(
            _RegionPool(stage),
            _hidden_layers(stage.channels * CELLS**2, hidden, dropout),
            _predictor(hidden, classes),
            fg_iou_thresh=_OBJECT,
            bg_iou_thresh=_OBJECT,
            batch_size_per_image=regions,
            positive_fraction=0.25,
            bbox_reg_weights=_BOX_WEIGHTS,
            score_thresh=0.0,
            nms_thresh=_NMS,
            detections_per_img=_KEPT,
        )

    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return the sum of the losses of classes and boxes."""
        near = [{**target, "proposals": _near(target)} for target in targets]
        images, sizes, boxes, proposals = self._resized(rgb, near)
        # Torchvision's label 0 is the background.
        wanted = [
            {"boxes": box, "labels": target["labels"] + 1} for box, target in zip(boxes, targets, strict=True)
        ]
        _, losses = self.heads(self.encoder(images, stop=self.stage).maps, proposals, sizes, wanted)
        return torch.stack(list(losses.values())).sum()

    def detect(self, rgb: Tensor, given: list[Target]) -> list[Target]:
        """Detections of each image."""
        found: list[Target] = []
        size = (rgb.shape[2], rgb.shape[3])
        for start in range(0, len(rgb), IMAGES_AT_ONCE):
            part = slice(start, start + IMAGES_AT_ONCE)
            images, sizes, _, proposals = self._resized(rgb[part], given[part])
            detected, _ = self.heads(self.encoder(images, stop=self.stage).maps, proposals, sizes)
            found += self.transform.postprocess(detected, sizes, [size] * len(sizes))
        return [{**image, "labels": image["labels"] - 1} for image in found]

    def _resized(
        self, rgb: Tensor, targets: list[Target]
    ) -> tuple[Tensor, list[tuple[int, int]], list[Tensor], list[Tensor]]:
        """Images with their objects and proposals in the pixels of one size that was drawn for each."""
        objects = [target.get("boxes", target["proposals"][:0]) for target in targets]
        both = [
            {"boxes": torch.cat([box, target["proposals"]])}
            for box, target in zip(objects, targets, strict=True)
        ]
        images, resized = self.transform(list(rgb), both)
        boxes = [
            torch.tensor_split(image["boxes"], [len(box)])
            for image, box in zip(resized, objects, strict=True)
        ]
        return images.tensors, images.image_sizes, [box for box, _ in boxes], [more for _, more in boxes]


def _near(target: Target) -> Tensor:
    """Proposals that overlap an object; all of them in an image without."""
    proposals, objects = target["proposals"], target["boxes"]
    if len(objects) == 0 or len(proposals) == 0:
        return proposals
    return proposals[box_iou(proposals, objects).amax(1) >= _NEAR]


def _hidden_layers(width: int, hidden: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for before in (width, hidden):
        linear = nn.Linear(before, hidden)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _predictor(hidden: int, classes: int) -> FastRCNNPredictor:
    predictor = FastRCNNPredictor(hidden, classes + 1)
    for layer, deviation in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
        nn.init.normal_(layer.weight, std=deviation)
        nn.init.zeros_(layer.bias)
    return predictor
