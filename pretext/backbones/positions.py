"""Places of patches as sines and cosines (arXiv:1706.03762), in two dimensions."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return fixed embeddings of a grid's cells, row by row, as MAE's release makes them (arXiv:2111.06377).

    With the frequencies f_i = 10000^(−i / q), i < q = width / 4, a cell is sin(column · f), cos(column · f),
    sin(row · f), cos(row · f), in this order.

    Returns: (rows · columns, width) float32.

    Raises:
        ValueError: a width that is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"positions in two dimensions take a width that is a multiple of 4, got {width}")
    quarter = width // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)  # (q,)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    across, down = (axis.reshape(-1, 1) * frequencies for axis in (column, row))  # (rows · columns, q)
    return torch.cat([across.sin(), across.cos(), down.sin(), down.cos()], dim=1).float()
