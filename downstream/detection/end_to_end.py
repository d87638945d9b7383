"""Training whole detectors, encoder included, and choosing among learning rates on val."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from downstream.detection.boxes import (
    Target,
    Targets,
    boxes_of,
    collect,
    fitted_classes,
    mirror_targets,
)
from downstream.detection.family import Detection
from downstream.detection.head import Detecting
from downstream.detection.matching import Detections
from downstream.detection.proposals import Propose, no_proposals
from downstream.detection.scoring import FittedDetectors, detection_metrics, train_score, val_score
from downstream.features.extraction import batches, load_images
from downstream.head import Form
from downstream.protocol import Measure, Runtime
from downstream.tuning.finetuning import mirror, private_copy, random_flips
from downstream.tuning.rates import Loss, TunedModel, TunedProtocol, tensors_of
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


class Detector(TunedModel):
    """An encoder with a detection head, trained and asked by images, and by regions where it has some."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return a scalar for images (B, 3, H, W) in [0, 1] and their B targets, `proposals` among them."""

    @abstractmethod
    def detect(self, rgb: Tensor, given: list[Target]) -> list[Target]:
        """Detections of each image, labels from 0, boxes in its pixels.

        Args:
            given: the `proposals` of each image, or nothing.
        """


@dataclass(frozen=True)
class EndToEnd(Detection, TunedProtocol):
    """A detector around a copy of the encoder, everything trained.

    Args:
        flip: mirror training images at random.
    """

    flip: bool = field(default=True, kw_only=True)

    @abstractmethod
    def build(self, encoder: Encoder, classes: int) -> Detector:
        """An untrained detector around a private copy of the encoder."""

    def proposing(self, runtime: Runtime) -> Propose:
        """Regions of every image, for a detector that does not find its own."""
        return no_proposals

    def trained(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedDetectors:
        """Train one detector a learning rate on train, keep the one that is best on val by COCO AP.

        Raises:
            ValueError: boxes that are missing or bad (names split and image), no box in train, or an encoder
                without the stages that the detector needs.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        propose = self.proposing(runtime)

        def detector(model: Detector) -> TunedDetector:
            return TunedDetector(classes=classes, protocol=self, model=model)

        chosen = self.over_rates(
            encoder,
            lambda own: self.build(own, classes),
            lambda model: _loss(model, train, self.flip, runtime.device, propose),
            lambda model: val_score(partial(detector(model).detect, runtime=runtime), val, classes),
            (train, val),
            runtime,
        )
        winner, head = chosen.winner, detector(chosen.winner.model)
        return FittedDetectors(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=train_score(partial(head.detect, runtime=runtime), train, classes),
            course=winner.course,
            setting=winner.trial.setting,
            detectors={winner.trial.stage: head},
            runtime=runtime,
        )

    def untrained_detector(self, encoder: Encoder, classes: int, runtime: Runtime) -> TunedDetector:
        """A detector around a copy of the encoder, whose tensors are to be filled."""
        model = self.build(private_copy(encoder, runtime.device), classes)
        return TunedDetector(classes=classes, protocol=self, model=model.to(runtime.device).eval())


@dataclass(frozen=True)
class OneDetector(EndToEnd):
    """The one detector that was trained, or that val chose, is judged."""

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedDetectors:
        """See `trained`."""
        return self.trained(encoder, train, val, runtime)

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> TunedDetector:
        """See `untrained_detector`."""
        return self.untrained_detector(encoder, form.classes, runtime)

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `detection_metrics`."""
        return detection_metrics(split)


@dataclass(frozen=True, kw_only=True)
class TunedDetector(Detecting):
    """A trained detector, given the regions that its protocol gives it."""

    protocol: EndToEnd
    model: Detector

    def tensors(self) -> dict[str, Tensor]:
        """The whole model's, its encoder among it."""
        return tensors_of(self.model)

    @torch.no_grad()
    def detect(self, images: Split, runtime: Runtime) -> Detections:
        """Objects of every image."""
        self.model.eval()
        found: list[Target] = []
        proposals = self.protocol.proposing(runtime)(images)
        for rows, rgb in batches(images, runtime.device):
            given = proposals.of(range(rows.start, rows.stop), runtime.device)
            with torch.autocast(runtime.device.type, runtime.autocast, enabled=runtime.autocast is not None):
                found += self.model.detect(rgb, given)
        return collect(found)


def _loss(model: Detector, train: Split, flip: bool, device: torch.device, propose: Propose) -> Loss:
    targets = Targets(boxes_of(train), device)
    proposals = propose(train)
    width = train.pixels.shape[2]

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        images = load_images(train, index.numpy(), device)
        known = proposals.of(index.tolist(), device)
        wanted = [{**target, **more} for target, more in zip(targets.of(index.tolist()), known, strict=True)]
        if flip:
            flips = random_flips(len(index), generator)
            images, wanted = mirror(images, flips), mirror_targets(wanted, flips, width)
        return model.loss(images, wanted)

    return loss
