"""NT-Xent: which of all other views shows the same image? (Chen et al. 2020, arXiv:2002.05709, eq. 1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.gather import gather, processes, rank
from pretext.tasks.two_views import cosines


class Contrast(NamedTuple):
    """loss: () in nats, the mean over all views; accuracy: () share of views whose partner is the nearest."""

    loss: Tensor
    accuracy: Tensor


def nt_xent(one: Tensor, two: Tensor, temperature: float) -> Contrast:
    """Cross-entropy of a view's partner among all other views, by cosine over temperature.

    Of the 2N views of N images each is asked once, against 2N − 1 others. The mean over both directions is
    returned; the authors' release adds the two. With several processes each asks its own views, against
    those of all.

    Args:
        one, two: (N, D) projections of the first and the second view, of any length; row i shows image i.
        temperature: by which cosines are divided, positive.

    Raises:
        ValueError: a temperature that is not positive, or views that do not pair.
    """
    if not temperature > 0:
        raise ValueError(f"nt_xent takes a positive temperature, got {temperature}")
    if one.shape != two.shape:
        raise ValueError(f"nt_xent takes two views of each image, got {tuple(one.shape)}, {tuple(two.shape)}")
    count = len(one)
    mine = F.normalize(torch.cat((one, two)).float(), dim=1)  # (2N, D)
    alike = cosines(mine, gather(mine))  # (2N, 2N · processes)
    views = torch.arange(2 * count, device=one.device)
    first = rank() * 2 * count
    others = (alike / temperature).scatter(1, (first + views)[:, None], -math.inf)
    partners = first + (views + count) % (2 * count)
    accuracy = (others.argmax(dim=1) == partners).float().mean()
    return Contrast(F.cross_entropy(others, partners), accuracy)


def chance(count: int) -> float:
    """What a guess costs, in nats, where each process holds two views of `count` images."""
    return math.log(2 * count * processes() - 1)
