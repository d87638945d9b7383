"""The linear probe with labels of a small part of the training images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from downstream.classification.labels import fitted_classes, labels_of
from downstream.classification.linear import FittedProbe, LinearProbe, PooledLinear
from downstream.classification.voc_ap import one_hot
from downstream.head import Form, WithHead
from downstream.protocol import BlindPredictor, Measure, Runtime
from pretext.data.dataset import Split
from pretext.data.split import subset
from pretext.encoder import Encoder


@dataclass(frozen=True)
class Fraction(WithHead):
    """The linear probe, fitted on a class-balanced share of the labels, 1 % or 10 % by custom.

    Which images keep their label is drawn once, by the split's digest, for every encoder alike. Features are
    standardised by these images alone; stage and setting are chosen on the whole of val. The semi-supervised
    benchmark of arXiv:2002.05709 takes the same shares of ImageNet but fine-tunes the network: its numbers
    are no neighbours of these. Encoder-blind predictors have all labels of train.

    Args:
        share: of the training images, in (0, 1); the protocol's name says it in percent.
        probe: the linear probe and its grid.

    Raises:
        ValueError: a share outside (0, 1).
    """

    share: float = 0.01
    probe: LinearProbe = field(default_factory=LinearProbe)
    name: str = field(init=False, default="fraction")

    version = 1
    task = "classification"
    trains_encoder = False

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"Fraction: share must lie between 0 and 1, got {self.share}")
        object.__setattr__(self, "name", f"fraction_{100 * self.share:g}")

    @property
    def selects(self) -> tuple[str, ...] | None:
        """What the probe chooses."""
        return self.probe.selects

    def check(self, train: Split, *held: Split) -> None:
        """An image a class in the share, and as the probe."""
        self.probe.check(balanced(train, self.share), *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedProbe:
        """Draw the share of train, fit the probe on it.

        Raises:
            ValueError: as `LinearProbe.fit`; a share that is less than an image a class.
        """
        return self.probe.fit(encoder, balanced(train, self.share), val, runtime)

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> PooledLinear:
        """As the probe's."""
        return self.probe.untrained_head(encoder, form, runtime)

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Those of the probe."""
        return self.probe.metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """Those of the probe."""
        return self.probe.blind()


def balanced(split: Split, share: float) -> Split:
    """A share of a split in which classes are as equally frequent as they can be.

    The classes give an image in turn, drawn by the split's digest, until the share is full; one that has no
    more is passed over. An image with several classes counts for the one that gives it.

    Raises:
        ValueError: labels that are missing or out of range, or less than an image a class.
    """
    classes = fitted_classes(split)
    there = one_hot(labels_of(split), classes)
    count = round(share * len(split))
    if count < classes:
        raise ValueError(
            f"{share:.3g} of the {len(split)} images of split {split.name!r} are {count}, "
            f"fewer than its {classes} classes"
        )
    seed = hashlib.sha256(f"fraction {split.digest}".encode()).digest()[:8]
    generator = np.random.default_rng(int.from_bytes(seed, "little"))
    order = generator.permutation(len(split))
    queues = [iter(order[there[order, c]].tolist()) for c in generator.permutation(classes)]
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        before = len(drawn)
        for queue in queues:
            image = next((i for i in queue if i not in drawn), None)
            if image is not None and len(drawn) < count:
                drawn[image] = None
        if len(drawn) == before:
            break  # what is left shows no class
    return subset(split, np.sort(list(drawn)))
