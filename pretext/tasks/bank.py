"""A bank of one vector a training image, and images told by their cosines with it (arXiv:1805.01978)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.gather import gather


def move(bank: Tensor, positions: Tensor, vectors: Tensor, momentum: float) -> None:
    """Move vectors of the bank (N, D) at positions (B,) to `momentum` of themselves and the rest of new ones.

    Those of all processes move.
    """
    where, new = gather(positions), gather(vectors.detach())
    bank[where] = F.normalize(momentum * bank[where] + (1 - momentum) * new, dim=1)


def told(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of the own of N, (B, N) and (B,), and the share of which it is the likeliest."""
    return F.cross_entropy(logits, own), (logits.argmax(1) == own).float().mean()


def estimated(logits: Tensor, own: Tensor, negatives: int, constant: Tensor, *, train: bool) -> Tensor:
    """A noise-contrastive estimate in place of that cross-entropy.

    −ln h of the own image and −Σ ln (1 − h) of images drawn at random, h = P / (P + K / N).

    Args:
        logits: (B, N), cosines by temperature. own: (B,).
        negatives: K, images that are drawn.
        constant: () by which exponentials become probabilities P. Where it is 0, the mean over this batch,
            which it becomes in training.
    """
    total = logits.shape[1]
    drawn = torch.randint(total, (len(logits), negatives), device=logits.device)
    chosen = torch.cat([own[:, None], drawn], dim=1)
    shares = logits.gather(1, chosen).exp()  # (B, 1 + K)
    if train and not float(constant):
        constant.copy_(gather(shares.detach()).mean() * total)
    # A copy: another constant beside it may be set before the way back.
    divisor = constant.clone() if float(constant) else shares.detach().mean() * total
    noise = negatives / total
    probability = shares / divisor
    own_term = (probability[:, 0] / (probability[:, 0] + noise)).log()
    rest = (noise / (probability[:, 1:] + noise)).log().sum(1)
    return -(own_term + rest).mean()
