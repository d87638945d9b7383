"""The classifier that reads coloured images: trained on the colours of the set, by the budget of the rows."""

from __future__ import annotations

import torch
from torch import Tensor

from downstream.colorization.reading import Reader
from pretext.fit import load_task
from pretext.tasks.supervised import Supervised
from pretextbench import runs
from pretextbench.console import console
from pretextbench.context import Context
from pretextbench.running import train
from pretextbench.runs import Run

INPUT = "rgb"


class Classifier:
    """A trained `Supervised` as a `downstream.colorization.reading.Reader`."""

    def __init__(self, task: Supervised) -> None:
        self._task = task

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of its classes, and the mean of the last stage's map."""
        encoder = self._task.encoder
        features = encoder(rgb).maps[encoder.stage_names[-1]].mean(dim=(2, 3))  # (B, D)
        return self._task.head(features), features


def reader_run(context: Context) -> Run | None:
    """The run of the reader; None where the set has no single label an image, or nobody wants one."""
    labels = context.data.train.labels
    if not context.cfg.league.reader:
        return None
    if runs.unsupervised(context.data) or labels is None or labels.ndim != 1:
        console.print(
            f"{context.data.name} has no single label an image: nothing reads the coloured images",
            style="yellow",
        )
        return None
    cfg = context.cfg.copy()
    cfg.input, cfg.input_arguments = INPUT, {}
    return runs.one(cfg, runs.pretext_config("supervised"), context.data, context.precision)


def reader(context: Context, run: Run) -> Reader:
    """Train the reader, or open it."""
    train(context, run, None)
    task = load_task(run.folder).to(context.device)
    assert isinstance(task, Supervised)
    return Classifier(task)
