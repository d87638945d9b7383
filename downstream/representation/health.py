"""Health of a representation, without labels: rank, alignment, uniformity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from downstream.features.extraction import Key, extract
from downstream.features.pooling import GridPool
from downstream.images.corruptions import Picture, corrupt, to_bytes
from downstream.protocol import (
    BlindPredictor,
    Fitted,
    Measure,
    Predictions,
    Protocol,
    Runtime,
    Trial,
    fractions,
)
from downstream.representation.hypersphere import alignment, uniformity
from downstream.representation.spectrum import RankShare
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder
from pretext.encoder.spectrum import effective_rank, rankme

ON_TRAIN = 2000
"""Training images that the score on train is taken of."""

COLLAPSED = 64
"""Channels of the representation that is the same for every image."""

rank_share = RankShare(rankme, centred=False)
effective_rank_share = RankShare(effective_rank, centred=True)


@dataclass(frozen=True)
class Crop:
    """A part of the image, resized to all of it and mirrored half of the time: the other view of a pair.

    level: smallest share of the area; the share is uniform up to 1, the logarithm of width over height up to
    4/3 (torchvision's RandomResizedCrop). Has the form of a corruption, so that `corrupt` can apply it.
    """

    levels: tuple[float, ...]
    name = "random_resized_crop"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """Crop (H, W, 3) in [0, 1]."""
        height, width = image.shape[:2]
        area = height * width * generator.uniform(level, 1)
        aspect = np.exp(generator.uniform(-np.log(4 / 3), np.log(4 / 3)))
        w = min(width, max(1, round(float(np.sqrt(area * aspect)))))
        h = min(height, max(1, round(float(np.sqrt(area / aspect)))))
        left, top = generator.integers(0, width - w + 1), generator.integers(0, height - h + 1)
        box = (int(left), int(top), int(left + w), int(top + h))
        picture = Image.fromarray(to_bytes(image))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
        found = np.asarray(resized) / 255
        return found[:, ::-1] if generator.random() < 0.5 else found


@dataclass(frozen=True)
class RepresentationHealth(Protocol):
    """How many directions the features use and how they spread, on test images without their labels.

    Of one stage's globally pooled features; nothing is fitted or chosen. Four metrics, each brought to
    [0, 1] with higher better. RankMe (arXiv:2210.02885), exp of the entropy of the singular values, and
    effective rank, the same of the covariance's eigenvalues, are divided by the number of channels D, so
    they compare networks of one width only. Alignment and uniformity (arXiv:2005.10242) are of features of
    unit length: 1 − A / 4 and −U / 4, where A is the mean squared distance of an image and a random crop of
    it, and U the logarithm of the mean of exp(−2 · squared distance) over pairs of images. A representation
    that is the same for every image has the best alignment, no uniformity, and a RankMe of 1/D; it is what
    scores are read against. Healthy features need not be useful ones.

    Args:
        stage: the stage; the last one without it.
        crop: smallest share of the image that the other view of a pair shows.

    Raises:
        ValueError: a share that is not in (0, 1].
    """

    stage: str | None = None
    crop: float = 0.2

    name = "health"
    version = 1
    paper = "arXiv:2210.02885, arXiv:2005.10242"
    task = "representation"
    trains_encoder = False
    trains_head = False
    headless = "nothing is fitted"

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ValueError(f"RepresentationHealth: crop={self.crop!r}; expected a share in (0, 1]")

    @property
    def selects(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> MeasuredHealth:
        """Measure RankMe on part of train and on val.

        Raises:
            ValueError: the encoder has no such stage.
        """
        stage = self.stage or encoder.stage_names[-1]
        view = Crop((self.crop,))
        on_train = _rows(encoder, stage, limit(train, ON_TRAIN), view, runtime)
        on_val = _rows(encoder, stage, val, view, runtime)
        trial = Trial(stage, {}, rank_share(on_val))
        return MeasuredHealth(stage, (trial,), (), rank_share(on_train), encoder, view, runtime)

    def metrics(self, split: Split) -> dict[str, Measure]:
        """RankMe first."""
        return fractions(
            {
                "RankMe": rank_share,
                "effective_rank": effective_rank_share,
                "alignment": _alignment,
                "uniformity": _uniformity,
            }
        )

    def blind(self) -> dict[str, BlindPredictor]:
        """A collapsed representation."""
        return {"collapsed": Collapsed()}


@dataclass(frozen=True)
class MeasuredHealth(Fitted):
    """The stage that is measured."""

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    encoder: Encoder
    view: Crop
    runtime: Runtime

    @property
    def selected(self) -> dict[str, float | int | str]:
        """Nothing is chosen."""
        return {}

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"features", "views"}, (N, D) float32 each, of the stage."""
        return {self.stage: _rows(self.encoder, self.stage, test, self.view, self.runtime)}


@dataclass(frozen=True)
class Collapsed(BlindPredictor):
    """The same feature for every image."""

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Nothing is fitted."""
        return lambda split: {
            name: np.ones((len(split), COLLAPSED), dtype=np.float32) for name in ("features", "views")
        }


def _rows(encoder: Encoder, stage: str, split: Split, view: Crop, runtime: Runtime) -> Predictions:
    pool = GridPool()
    return {
        name: np.array(extract(encoder, made, (pool,), runtime, (stage,))[Key(stage, pool)])
        for name, made in (("features", split), ("views", corrupt(split, view, 1)))
    }


def _alignment(rows: Predictions) -> float:
    return float(np.clip(1 - alignment(rows["features"], rows["views"]) / 4, 0, 1))


def _uniformity(rows: Predictions) -> float:
    # A finite sample of distinct pairs may lie below −4 by a hair; −0.0 is no score.
    return float(np.clip(-uniformity(rows["features"]) / 4, 0.0, 1.0)) + 0.0
