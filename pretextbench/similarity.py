"""`job=cka`: how alike two encoders are, stage by stage, on the validation images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from downstream.digest import digest, short
from downstream.representation.cka import StageSimilarity, stage_similarity
from pretext.atomic import write_bytes
from pretextbench.console import console, progress
from pretextbench.context import Context
from pretextbench.encoders import named_encoder
from pretextbench.subjects import of_encoder


def show_similarity(context: Context) -> Path:
    """Print linear CKA of `encoder`'s stages with those of `against`; write it as Markdown, CSV and picture.

    Computed on val, globally pooled: nothing here is a score, and test stays unseen.

    Returns:
        The folder written to.

    Raises:
        ValueError: an encoder that is not named or not there, or features that do not vary.
    """
    first = named_encoder(context, "encoder")
    second = named_encoder(context, "against")
    images = context.target.val
    with progress("cka") as move:
        found = stage_similarity(first, second, images, context.runtime(move))
    console.print(_table(found))
    weights = [first.digest(), second.digest()]
    folder = context.output / "cka" / short(digest([*weights, images.digest]))
    down, across = (
        f"{of_encoder(encoder, None).pretext} {of[:6]}"
        for encoder, of in zip((first, second), weights, strict=True)
    )
    heading = (
        f"Linear CKA (arXiv:1905.00414) on {len(images)} val images of {context.target.name}: "
        f"{down} down, {across} across"
    )
    write_bytes(folder / "cka.md", f"{heading}\n\n{found.markdown()}\n".encode())
    write_bytes(folder / "cka.csv", found.csv().encode())
    write_bytes(folder / "cka.png", _picture(found, down, across))
    console.print(f"{heading}. Written to {folder}", soft_wrap=True)
    return folder


def _table(found: StageSimilarity) -> Table:
    table = Table("CKA", *found.second, box=None)
    for name, row in zip(found.first, found.values, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in row))
    return table


def _picture(found: StageSimilarity, down: str, across: str) -> bytes:
    """A heat map with its numbers, as PNG."""
    rows, columns = found.values.shape
    figure = Figure(figsize=(1.6 + 0.7 * columns, 1.4 + 0.55 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(found.values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(columns), found.second)
    axes.set_yticks(range(rows), found.first)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    for (row, column), value in np.ndenumerate(found.values):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.6 else "k")
    axes.set_title("linear CKA")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
