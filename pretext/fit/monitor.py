"""How pretraining comes along, seen on train and val alone: probes of frozen features, and their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.encoder.spectrum import rankme
from pretext.task import Images

TEMPERATURE = 0.07  # arXiv:1805.01978, section 3.4
PENALTIES = tuple(10.0**power for power in range(-1, 5))
"""Of the linear probe; the one with the least leave-one-out error on the training images is taken."""

LEAST_SPREAD = 0.05
"""Below it all features are the same but for a cosine of 0.0025; those of untrained networks have 0.3."""

LEAST_GAIN = 0.01
"""Share of its chance by which a loss is below it where something was learned."""


class Features(NamedTuple):
    """vectors: (N, D) float32, `Encoder.vector` as it is; labels: (N,) int64 or (N, C) float; on the CPU."""

    vectors: Tensor
    labels: Tensor | None


@torch.no_grad()
def features(encoder: Encoder, batches: Iterable[Images]) -> Features:
    """Take an encoder's vectors in eval mode; its mode is restored."""
    mode = encoder.training
    encoder.eval()
    vectors, labels = [], []
    for images in batches:
        vectors.append(encoder.vector(images.pixels).float().cpu())
        labels.append(images.labels)
    encoder.train(mode)
    known = [each.cpu() for each in labels if each is not None]
    return Features(torch.cat(vectors), torch.cat(known) if len(known) == len(labels) else None)


def vote(queries: Tensor, bank: Tensor, labels: Tensor, neighbours: int) -> Tensor:
    """Class scores by the `neighbours` most similar features, weighted by exp(cosine / 0.07).

    Args:
        queries: (M, D) of unit length. bank: (N, D) of unit length.
        labels: (N, C) one-hot or multi-hot, float.

    Returns:
        (M, C): the weighted share of neighbours that have each label, in [0, 1].
    """
    similarity, index = (queries @ bank.T).topk(min(neighbours, len(bank)), dim=1)  # (M, k)
    weight = torch.softmax(similarity / TEMPERATURE, dim=1)
    return torch.einsum("mk,mkc->mc", weight, labels[index])


def ridge(queries: Tensor, bank: Tensor, labels: Tensor) -> Tensor:
    """Class scores by linear regression on standardised features, its penalty chosen on the bank.

    Args:
        queries: (M, D). bank: (N, D). labels: (N, C) one-hot or multi-hot, float.

    Returns:
        (M, C), about the probability of each label.
    """
    mean, spread = bank.mean(0), bank.std(0, correction=0)
    scale = torch.where(spread > 0, spread, 1.0)
    fitted = RidgeCV(alphas=PENALTIES).fit(((bank - mean) / scale).double().numpy(), labels.numpy())
    said = fitted.predict(((queries - mean) / scale).double().numpy())
    return torch.from_numpy(np.asarray(said).reshape(len(queries), -1))


def probes(bank: Features, val: Features, neighbours: int) -> dict[str, float]:
    """Score what a vote of neighbours (`knn`) and a linear probe (`linear`) make of features, in [0, 1].

    Accuracy with one class an image, mean average precision with several. Images without a class (−1) neither
    teach nor are asked; classes that no val image shows have no average precision and are left out of the
    mean. Empty where that leaves nothing to score.
    """
    if bank.labels is None or val.labels is None:
        return {}
    known, truth = bank.labels, val.labels
    taught, asked = bank.vectors, val.vectors
    score: Callable[[Tensor, Tensor], float] = _average_precision
    if known.dim() == 1:
        taught, known = taught[known >= 0], known[known >= 0]
        asked, truth = asked[truth >= 0], truth[truth >= 0]
        if not len(known) or not len(truth):
            return {}
        known = F.one_hot(known, int(max(known.max(), truth.max())) + 1).float()
        score = _accuracy
    elif not bool(truth.any()):
        return {}
    said = answers(asked, taught, known, neighbours)
    return {probe: score(each, truth) for probe, each in said.items()}


def answers(asked: Tensor, taught: Tensor, known: Tensor, neighbours: int) -> dict[str, Tensor]:
    """Class scores (M, C) of a vote of neighbours (`knn`) and of a linear probe (`linear`).

    Args:
        asked: (M, D). taught: (N, D). known: labels of the latter (N, C) one-hot or multi-hot, float.
    """
    near = vote(F.normalize(asked, dim=1), F.normalize(taught, dim=1), known, neighbours)
    return {"knn": near, "linear": ridge(asked, taught, known)}


def _accuracy(scores: Tensor, truth: Tensor) -> float:
    return float((scores.argmax(dim=1) == truth).float().mean())


def _average_precision(scores: Tensor, truth: Tensor) -> float:
    shown = truth.sum(dim=0) > 0
    return float(average_precision_score(truth[:, shown].numpy(), scores[:, shown].numpy(), average="macro"))


def shape(vectors: Tensor) -> dict[str, float]:
    """Tell how far features differ between images.

    Args:
        vectors: (N, D).

    Returns:
        `rankme`: directions that they use (arXiv:2210.02885), from 1 to the lesser of N and D. `spread`: the
        mean standard deviation of a channel of their unit vectors times √D (arXiv:2011.10566), near 1 where
        they point everywhere, 0 where all point one way.
    """
    spectrum = torch.linalg.svdvals(vectors.double()).numpy()
    spread = F.normalize(vectors, dim=1).std(0, correction=0).mean() * vectors.shape[1] ** 0.5
    return {"rankme": rankme(spectrum), "spread": float(spread)}


def collapsed(measures: Mapping[str, float]) -> bool:
    """Whether the features of all val images are the same, by the measures of a validation."""
    return measures.get("val/spread", 1.0) < LEAST_SPREAD


def at_chance(measures: Mapping[str, float]) -> bool:
    """Whether a loss on val is no better than what takes no look at images, where it has such a level."""
    loss = measures.get("val/loss")
    levels = [measures[name] for name in ("val/loss_chance", "val/loss_blind") if name in measures]
    return loss is not None and bool(levels) and loss > (1 - LEAST_GAIN) * min(levels)


def flags(measures: Mapping[str, float]) -> list[str]:
    """What a reader of a trained encoder's scores must know of its training."""
    found = {"pretraining_collapsed": collapsed(measures), "pretraining_at_chance": at_chance(measures)}
    return [name for name, so in found.items() if so]
