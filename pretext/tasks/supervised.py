"""Supervised: the labels themselves, the twin that says what the backbone could learn on the same budget."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks import blind
from pretext.tasks.cropping import check_square, square


class Labelled(NamedTuple):
    """pixels: (B, 3, S, S); labels: (B,) int64 classes or (B, C) float multi-hot."""

    pixels: Tensor
    labels: Tensor


class Supervised(Task):
    """Classification by a linear layer on the average of the last stage.

    Softmax cross-entropy for one class an image, binary cross-entropy, averaged over classes, for several.

    Args:
        encoder: what is trained.
        classes: how many there are.
        multilabel: whether an image can have several.
        crop: side of the square that is seen; None for the image's shorter side.
        padding: mirrored border in which the random square may lie.

    Raises:
        ValueError: fewer classes than there must be.
    """

    needs_labels = True

    def __init__(
        self, encoder: Encoder, classes: int, multilabel: bool, crop: int | None = None, padding: int = 4
    ) -> None:
        super().__init__()
        if classes < (1 if multilabel else 2):
            raise ValueError(f"Supervised needs classes to tell apart, got classes={classes}")
        check_square("Supervised", crop, padding)
        self.encoder = encoder
        self.head = nn.Linear(encoder.stages[-1].channels, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._classes, self._multilabel = classes, multilabel
        self._crop, self._padding = crop, padding

    def views(self, images: Images, generator: torch.Generator) -> Labelled:
        """Crop and flip each image.

        Raises:
            ValueError: images without labels, or with labels of the other kind.
        """
        labels = images.labels
        if labels is None or labels.dim() != 1 + self._multilabel:
            wanted = f"(B, {self._classes}) multi-hot labels" if self._multilabel else "(B,) classes"
            found = "none" if labels is None else tuple(labels.shape)
            raise ValueError(f"Supervised(multilabel={self._multilabel}) takes {wanted}, got {found}")
        pixels = square(
            images.pixels, generator, size=self._crop, padding=self._padding, augment=self.training
        )
        return Labelled(pixels, labels)

    def loss(self, batch: Labelled) -> Step:
        """Return the cross-entropy in nats."""
        logits = self._logits(batch)
        if self._multilabel:
            loss = F.binary_cross_entropy_with_logits(logits, batch.labels)
        else:
            loss = F.cross_entropy(logits, batch.labels)
        return Step(loss, {"loss": loss.detach()})

    def chance(self, batch: Labelled) -> dict[str, float]:
        """Return what a uniform guess costs, without even the prior of the labels."""
        return {"loss": math.log(2) if self._multilabel else math.log(self._classes)}

    def blind(self, batch: Labelled) -> dict[str, float]:
        """Return what the labels' frequencies cost, where an image can have several."""
        if not self._multilabel:
            return {}  # a batch shows too few images of a class to tell how frequent it is
        return blind.frequencies(torch.stack([batch.labels, 1 - batch.labels], dim=2))  # (B, C, 2)

    def score(self, batch: Labelled) -> dict[str, tuple[Tensor, Tensor]]:
        """Return accuracy, or for several labels an image the label ranking average precision."""
        logits = self._logits(batch)
        if self._multilabel:
            precision = ranking_precision(logits, batch.labels)
            some = batch.labels.sum(dim=1) > 0
            return {"ranking_precision": (precision[some].sum(), some.sum())}
        correct = logits.argmax(dim=1) == batch.labels
        return {"accuracy": (correct.sum(), torch.tensor(len(correct)))}

    def _logits(self, batch: Labelled) -> Tensor:
        last = self.encoder(batch.pixels).maps[self.encoder.stage_names[-1]]  # (B, C, h, w)
        logits: Tensor = self.head(last.mean(dim=(2, 3))).float()  # (B, classes)
        return logits


def ranking_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """Label ranking average precision of each example, scikit-learn's definition; 0 where it has no label.

    Args:
        scores: (B, C). labels: (B, C) multi-hot.

    Returns: (B,) in [0, 1].
    """
    ahead = scores[:, None, :] >= scores[:, :, None]  # (B, C, C): label j ranks at least as high as label i
    rank = ahead.sum(dim=2)  # (B, C)
    true_ahead = (ahead * labels[:, None, :]).sum(dim=2)  # (B, C)
    return (labels * true_ahead / rank).sum(dim=1) / labels.sum(dim=1).clamp(min=1)
