"""A nearest-neighbour classifier on frozen features: how pretraining comes along, seen on val alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn import functional as F

from pretext.encoder import Encoder
from pretext.task import Images

TEMPERATURE = 0.07  # arXiv:1805.01978, section 3.4


@torch.no_grad()
def pooled(encoder: Encoder, batches: Iterable[Images]) -> tuple[Tensor, Tensor]:
    """Vectors (`Encoder.vector`) of unit length, and labels.

    The encoder's mode is restored. Returns ((N, D) float32, (N,) int64 or (N, C) float), on the CPU.

    Raises:
        ValueError: images without labels.
    """
    mode = encoder.training
    encoder.eval()
    features, labels = [], []
    for images in batches:
        if images.labels is None:
            raise ValueError("the nearest-neighbour monitor needs labelled images")
        features.append(F.normalize(encoder.vector(images.pixels).float(), dim=1).cpu())
        labels.append(images.labels.cpu())
    encoder.train(mode)
    return torch.cat(features), torch.cat(labels)


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


def knn_score(
    encoder: Encoder, train: Iterable[Images], val: Iterable[Images], neighbours: int = 20
) -> float | None:
    """Accuracy (one class an image) or mean average precision (several) of the vote, in [0, 1].

    Images without a class (−1) neither vote nor are asked; classes that no val image shows have no average
    precision and are left out of the mean. None where that leaves nothing to score.
    """
    bank, known = pooled(encoder, train)
    queries, truth = pooled(encoder, val)
    if known.dim() == 1:
        bank, known = bank[known >= 0], known[known >= 0]
        queries, truth = queries[truth >= 0], truth[truth >= 0]
        if not len(known) or not len(truth):
            return None
        classes = int(max(known.max(), truth.max())) + 1
        scores = vote(queries, bank, F.one_hot(known, classes).float(), neighbours)
        return float((scores.argmax(dim=1) == truth).float().mean())
    shown = truth.sum(dim=0) > 0
    if not bool(shown.any()):
        return None
    scores = vote(queries, bank, known, neighbours)
    return float(average_precision_score(truth[:, shown].numpy(), scores[:, shown].numpy(), average="macro"))
