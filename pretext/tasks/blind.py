"""What the best answer costs that is the same for all images, told from one batch of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def level(
    answers: Tensor, cost: Callable[[Tensor], Tensor], counts: Tensor | None = None
) -> dict[str, float]:
    """The loss of the mean answer, as it would be for the mean over very many images.

    It is the mean of two: what the batch's own mean costs, which has seen the images that it is asked about,
    and what the mean of all others costs each image, which is as much too dear.

    Args:
        answers: (B, …), the best of each image by itself (its mean colour, its histogram).
        cost: the loss () where each image is answered by its row of such (B, …).
        counts: (B,) bool, images that have an answer; None for all.

    Returns:
        `loss`; nothing where there are fewer than two images to compare.
    """
    known = torch.ones(len(answers), dtype=torch.bool) if counts is None else counts
    count = int(known.sum())
    if count < 2:
        return {}
    known = known.to(answers.device).view(-1, *[1] * (answers.dim() - 1))
    counted = torch.where(known, answers, 0.0)
    total = counted.sum(0, keepdim=True)
    own = (total / count).expand_as(answers)
    others = (total - counted) / (count - known.int())
    return {"loss": float(cost(own) + cost(others)) / 2}


def frequencies(shares: Tensor) -> dict[str, float]:
    """`level` where frequencies (…, K) are answered and cost their cross-entropy.

    Args:
        shares: (B, …, K), those of each image.
    """

    def cost(answers: Tensor) -> Tensor:
        return -(shares * smoothed(answers, len(shares)).log()).sum(dim=-1).mean()

    return level(shares, cost)


def smoothed(shares: Tensor, images: int) -> Tensor:
    """Shares (…, K) of so many images, as if one more had all alike: what nobody else has costs not all."""
    return (images * shares + 1 / shares.shape[-1]) / (images + 1)
