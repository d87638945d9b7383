"""DeepCluster: predict the clusters of the network's own features (Caron et al. 2018, arXiv:1807.05520)."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder
from pretext.task import Epoch, Images, Loader, Progress, Step, Task
from pretext.tasks.cropping import square
from pretext.tasks.lloyd import lloyd, nearest

SCALE = (0.08, 1.0)
"""Area of a crop as a share of the image's."""

FLAT = 1e-6
"""Directions of less variance than this share of the largest are dropped: whitening blows up rounding."""


class Clustered(NamedTuple):
    """pixels: (B, 3, S, S) in [0, 1]; targets: (B,) int64, cluster of each image."""

    pixels: Tensor
    targets: Tensor


class DeepCluster(Task):
    """Before every epoch clusters the training images by their features, then predicts the clusters.

    Features are those of central squares: the encoder's vector through two hidden layers, without the last
    ReLU. They are reduced and whitened by principal components, brought to unit length and clustered by
    k-means from random images; the layer that predicts the clusters starts anew, and under SGD without
    momentum, as in the release. An epoch draws every non-empty cluster equally often. Validation asks for the
    cluster nearest to an image.

    The hidden layers stand for the two that the release's AlexNet ends in. Its input is `sobel`; with colour,
    clusters sort by it.

    Args:
        encoder: what is trained.
        clusters: k; the paper's is 10,000 for the 1.3 million images of ImageNet.
        hidden: width of the two hidden layers; the paper's is 4096.
        components: principal components that are clustered, as many as `hidden` at most.
        iterations: of k-means.
        dropout: before each hidden layer, in training.

    Raises:
        ValueError: a value out of its range.
    """

    transient = ("targets",)
    mean: Tensor
    whitening: Tensor
    centroids: Tensor
    agreement: Tensor
    targets: Tensor

    def __init__(
        self,
        encoder: Encoder,
        clusters: int = 10_000,
        hidden: int = 4096,
        components: int = 256,
        iterations: int = 20,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if clusters < 2:
            raise ValueError(f"DeepCluster.clusters is a number from 2, got {clusters}")
        if min(hidden, components, iterations) < 1:
            raise ValueError(
                "DeepCluster takes hidden, components and iterations from 1, "
                f"got {hidden}, {components}, {iterations}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"DeepCluster.dropout is a share in [0, 1), got {dropout}")
        self.encoder = encoder
        self.neck = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(encoder.width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
        )
        self.top = nn.Linear(hidden, clusters)
        self._draw_top()
        directions = min(components, hidden)
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("whitening", torch.zeros(hidden, directions))
        self.register_buffer("centroids", torch.zeros(clusters, directions))
        self.register_buffer("agreement", torch.zeros(()))
        self.register_buffer("targets", torch.zeros(0, dtype=torch.int64))
        self._iterations = iterations
        # No module's child: it is made anew with the clusters, and neither trained nor saved.
        self._clustered: tuple[Encoder, nn.Module] | None = None

    def check(self, images: int, batch_size: int) -> None:
        """Refuse more clusters than images."""
        if images < len(self.centroids):
            raise ValueError(f"DeepCluster.clusters is {len(self.centroids)}, of only {images} images")

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Make room for the clusters of the training images."""
        self.targets = torch.zeros(loader.images, dtype=torch.int64, device=self.mean.device)

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        """Cluster the images anew, and draw the layer that predicts the clusters anew."""
        self._clustered = copy.deepcopy((self.encoder, self.neck))
        features = torch.cat([self._features(_central(images.pixels)) for images in loader])  # (N, hidden)
        self.mean.copy_(features.mean(dim=0))
        self.whitening.copy_(_whitening(features - self.mean, self.whitening.shape[1]))
        points = self._reduced(features)  # (N, P)
        start = torch.randperm(len(points))[: len(self.centroids)].to(points.device)
        centroids, targets = lloyd(points, points[start], self._iterations)
        self.centroids.copy_(centroids)
        before, now = self.targets.tolist(), targets.tolist()
        self.agreement.fill_(float(normalized_mutual_info_score(before, now)) if progress.step else 0.0)
        self.targets.copy_(targets)
        self._draw_top()
        sizes = torch.bincount(targets, minlength=len(self.centroids))
        return Epoch(1 / sizes[targets].double(), tuple(self.top.parameters()))

    def views(self, images: Images, generator: torch.Generator) -> Clustered:
        """Crop and flip each training image; of a val image take the centre and the cluster that it is of.

        That is the nearest one to what the networks made of it when they clustered: what they make of it
        after an epoch has nothing to do with centroids of before.
        """
        if self.training:
            side = min(images.pixels.shape[-2:])
            pixels = views.random_resized_crop(images.pixels, side, generator, SCALE, p=0.5)
            return Clustered(pixels, self.targets[images.positions])
        pixels = _central(images.pixels)
        encoder, neck = self._clustered or (self.encoder, self.neck)
        targets, _ = nearest(self._reduced(neck(encoder.vector(pixels))), self.centroids)
        return Clustered(pixels, targets)

    def loss(self, batch: Clustered) -> Step:
        """Return the cross-entropy of the clusters, in nats.

        Logs beside it the accuracy, and how far the clusters agree with the last epoch's: their normalised
        mutual information in [0, 1], which rises as training settles.
        """
        logits = self.top(F.relu(self._features(batch.pixels))).float()  # (B, k)
        loss = F.cross_entropy(logits, batch.targets)
        accuracy = (logits.argmax(dim=1) == batch.targets).float().mean()
        return Step(loss, {"loss": loss.detach(), "accuracy": accuracy, "agreement": self.agreement.clone()})

    def chance(self, batch: Clustered) -> dict[str, float]:
        """Return what a guess costs."""
        return {"loss": math.log(len(self.centroids))}

    def param_groups(self) -> list[dict[str, Any]]:
        """Everything is decayed, as in the release; the last layer, which starts anew, asks no momentum."""
        last = list(self.top.parameters())
        apart = {id(parameter) for parameter in last}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in apart]
        return [{"params": others}, {"params": last, "momentum": 0.0}]

    def _features(self, pixels: Tensor) -> Tensor:
        """Features (B, hidden) of images (B, 3, S, S), before their ReLU."""
        features: Tensor = self.neck(self.encoder.vector(pixels))
        return features

    def _reduced(self, features: Tensor) -> Tensor:
        """Whitened components (N, P) of features (N, hidden), of unit length."""
        return F.normalize((features.float() - self.mean) @ self.whitening, dim=1)

    def _draw_top(self) -> None:
        nn.init.normal_(self.top.weight, std=0.01)
        nn.init.zeros_(self.top.bias)


def _central(pixels: Tensor) -> Tensor:
    return square(pixels, torch.Generator(), size=None, padding=0, augment=False)  # nothing is drawn


def _whitening(centred: Tensor, components: int) -> Tensor:
    """Columns (D, components) that turn points (N, D) of mean zero into ones of unit variance.

    The directions of largest variance first; those in which nothing varies are zero.
    """
    x = centred.double()
    variance, directions = torch.linalg.eigh(x.T @ x / len(x))  # rising
    variance, directions = variance.flip(0)[:components], directions.flip(1)[:, :components]
    varied = variance > FLAT * variance[0].clamp(min=1e-30)
    scale = torch.where(varied, variance.clamp(min=1e-30).rsqrt(), 0.0)
    white: Tensor = (directions * scale).float()
    return white
