"""What a training takes of a machine: images through the encoder, and multiply-adds, there and back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pretext.backbones import Backbone
from pretext.fit.lightning_module import Pretraining
from pretext.fit.result import Pretrained
from pretext.task import Images


class Effort(Callback):
    """Counts the first batch of a training, forward, backward and step; every later batch is like it.

    Attributes:
        images: in that batch; 0 before it.
        views: images that the encoder's network, and others beside it (a student's), saw for it: several an
            image where the task takes several.
        flops: multiply-adds × 2 of all networks of the task, as torch's counter finds them.
    """

    def __init__(self) -> None:
        self.images = self.views = self.flops = 0
        self._counter: FlopCounterMode | None = None
        self._switched_on = ExitStack()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Images, batch_idx: int
    ) -> None:
        """Begin to count."""
        if self.images or self._counter is not None:
            return
        assert isinstance(pl_module, Pretraining)
        for network in pl_module.task.modules():
            if isinstance(network, Backbone):  # its first block is run, whoever calls
                first = next(iter(network.blocks.values()))
                self._switched_on.callback(first.register_forward_hook(self._saw).remove)
        self._counter = self._switched_on.enter_context(FlopCounterMode(display=False))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Images, batch_idx: int
    ) -> None:
        """Stop counting."""
        if self._counter is not None:
            self.flops = int(self._counter.get_total_flops())
            self.images = len(batch.pixels)
            self._counter = None
            self._switched_on.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave nothing switched on behind a batch that failed."""
        self._switched_on.close()

    def state_dict(self) -> dict[str, int]:
        """What was counted, for a run that goes on without another batch."""
        return {"images": self.images, "views": self.views, "flops": self.flops}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counts back."""
        self.images, self.views, self.flops = (int(state_dict[key]) for key in ("images", "views", "flops"))

    def _saw(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.views += len(args[0])

    def of(self, images_seen: int) -> tuple[int, int]:
        """Views and flops of a training that took so many images."""
        share = images_seen / self.images if self.images else 0.0
        return round(self.views * share), round(self.flops * share)


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
