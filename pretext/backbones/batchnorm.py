"""BatchNorm statistics: estimated again without labels, or held still while the rest trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def norms(module: nn.Module) -> list[Norm]:
    """Every BatchNorm of a module that keeps running statistics."""
    return [m for m in module.modules() if isinstance(m, KINDS) and m.track_running_stats]


@contextmanager
def norm_eval(module: nn.Module) -> Iterator[None]:
    """Within the context BatchNorm normalises by its running statistics and leaves them, even in train mode.

    Modes are restored on leaving; a backward pass may run inside or after it.
    """
    modes = [(norm, norm.training) for norm in norms(module)]
    for norm, _ in modes:
        norm.eval()
    try:
        yield
    finally:
        for norm, training in modes:
            norm.train(training)


@torch.no_grad()
def recalibrate_batchnorm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Estimate the running statistics of every BatchNorm again, without labels.

    Old statistics are dropped; the new ones are the plain average, over batches, of each batch's mean and
    unbiased variance. Only BatchNorm runs in train mode meanwhile, so each layer sees what the layers before
    it have normalised by the batch at hand. Modes and momenta are restored. Batches should be of equal size.

    Args:
        module: what takes a batch, an encoder for one.
        batches: (B, 3, H, W) each, on the module's device.

    Returns:
        The number of images seen.

    Raises:
        ValueError: no batch (the old statistics are then still in place).
    """
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        raise ValueError("BatchNorm cannot be recalibrated without images: `batches` is empty")
    modes = [(m, m.training) for m in module.modules()]
    momenta = [(norm, norm.momentum) for norm in norms(module)]
    module.eval()
    for norm, _ in momenta:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
        norm.train()
    seen = len(first)
    try:
        module(first)
        for batch in stream:
            module(batch)
            seen += len(batch)
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
        for m, training in modes:
            m.training = training
    return seen
