"""What a training takes: images through the encoder and multiply-adds, in its steps and before its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pretext.backbones import Backbone
from pretext.fit.lightning_module import Pretraining
from pretext.fit.result import Pretrained
from pretext.task import Images, Task


class Effort(Callback):
    """Counts the first batch of a training, forward, backward and step; every later batch is like it.

    What a task passes through its networks before an epoch, to refit what changes by epoch, is counted whole.

    Attributes:
        images: in that batch; 0 before it.
        views: images that the encoder's network, and others beside it (a student's), saw for it: several an
            image where the task takes several; a tile or a small crop counts by its area, as its cost does.
        flops: multiply-adds × 2 of all networks of the task, as torch's counter finds them.
        refits: views and flops before the epochs so far.
    """

    def __init__(self) -> None:
        self.images = self.flops = 0
        self.views = 0.0
        self.refits = (0.0, 0)
        self._counter: FlopCounterMode | None = None
        self._switched_on = ExitStack()
        self._passes: list[int] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count what comes before the epoch's first batch."""
        self._start(pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Images, batch_idx: int
    ) -> None:
        """Begin to count the first batch."""
        if self._counter is not None:
            views, flops = self._stop(batch)
            self.refits = (self.refits[0] + views, self.refits[1] + flops)
        if not self.images:
            self._start(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Images, batch_idx: int
    ) -> None:
        """Stop counting."""
        if self._counter is not None:
            self.views, self.flops = self._stop(batch)
            self.images = len(batch.pixels)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave nothing switched on behind a batch that failed."""
        self._switched_on.close()

    def state_dict(self) -> dict[str, Any]:
        """What was counted, for a run that goes on without another batch."""
        return {"images": self.images, "views": self.views, "flops": self.flops, "refits": self.refits}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counts back."""
        self.images, self.flops = (int(state_dict[key]) for key in ("images", "flops"))
        self.views = float(state_dict["views"])
        views, flops = state_dict.get("refits", (0, 0))  # older checkpoints have none
        self.refits = (float(views), int(flops))

    def of(self, images_seen: int) -> tuple[int, int]:
        """Views and flops of a training that took so many images."""
        share = images_seen / self.images if self.images else 0.0
        return round(self.views * share + self.refits[0]), round(self.flops * share) + self.refits[1]

    def _start(self, module: pl.LightningModule) -> None:
        assert isinstance(module, Pretraining)
        self._passes = self._switched_on.enter_context(passes(module.task))
        self._counter = self._switched_on.enter_context(FlopCounterMode(display=False))

    def _stop(self, batch: Images) -> tuple[float, int]:
        assert self._counter is not None
        counted = views(self._passes, batch.pixels), int(self._counter.get_total_flops())
        self._counter = None
        self._switched_on.close()
        return counted


@contextmanager
def passes(task: Task) -> Iterator[list[int]]:
    """Give a list that grows by the pixels of each pass through a network of a task; see `views`."""
    found: list[int] = []
    with ExitStack() as hooks:
        for network in task.modules():
            if isinstance(network, Backbone):  # its first block is run, whoever calls
                first = next(iter(network.blocks.values()))
                hook = first.register_forward_hook(lambda block, args, output: found.append(pixels(args[0])))
                hooks.callback(hook.remove)
        yield found


def pixels(images: Tensor) -> int:
    """How many a batch (B, C, H, W) has."""
    return len(images) * images.shape[-2] * images.shape[-1]


def views(seen: Iterable[int], images: Tensor) -> float:
    """How many of these images (B, C, H, W) passes of so many pixels amount to."""
    return sum(seen) / pixels(images[:1])


def effort(result: Pretrained, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a finished run took, with what the run before it took that it started from, as plain values."""
    own = {
        "images": result.images_seen,
        "views": result.views,
        "flops": result.flops,
        "seconds": result.seconds,
    }
    for key, value in (before or {}).items():
        if key in own:
            own[key] = None if own[key] is None or value is None else own[key] + value
    return {**own, "device": result.device}
