"""The Lightning module that trains any pretext task."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from pretext.data.loader import EpochLoader
from pretext.fit.optimisation import Optimisation
from pretext.fit.seeding import Stream, derive, generator
from pretext.task import Images, Progress, Task, checked, refuse_watched

WATCH_EVERY = 50
"""On a GPU the loss is looked at every so many batches, since each look waits for the device."""


class NonFiniteLoss(RuntimeError):
    """The loss, or a weight after an epoch, was NaN or infinite; the message names the step."""


class Mean:
    """Weighted means by name, summed on the device: reading them is the only thing that waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, Tensor | float]] = {}

    def add(self, name: str, total: Tensor, weight: Tensor | float) -> None:
        """Add Σ of a measure and the weight it stands for."""
        before = self._sums.get(name)
        if before is not None:
            total, weight = before[0] + total, before[1] + weight
        self._sums[name] = (total, weight)

    def read(self) -> dict[str, float]:
        """Return Σ sum / Σ weight by name and start anew; names whose weights are all zero are left out."""
        pairs = {name: (float(total), float(weight)) for name, (total, weight) in self._sums.items()}
        self._sums = {}
        return {name: total / weight for name, (total, weight) in pairs.items() if weight}


class Pretraining(pl.LightningModule):
    """Trains one task: views and loss by batch, schedule by step, measures by epoch.

    Args:
        loader: of training, shuffled. in_order: the same images, each once, for what is refitted by epoch.

    Attributes:
        task: what is trained.
        measures: by name, of the epoch at hand; validation fills `val/…`, training `train/…`.
        images_seen: training images that went into steps so far.
    """

    def __init__(
        self,
        task: Task,
        loader: EpochLoader,
        in_order: EpochLoader,
        optimisation: Optimisation,
        *,
        seed: int,
        epochs: int,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.task = task
        self.measures: dict[str, float] = {}
        self.images_seen = 0
        self._loader, self._in_order = loader, in_order
        self._optimisation = optimisation
        self._seed, self._epochs, self._total_steps = seed, epochs, total_steps
        self._train, self._val = Mean(), Mean()
        self._stepped = 0
        self._decays: list[float] = []  # of the optimiser's groups, as the task and the optimiser have them
        self._first_bad: Tensor | None = None  # () int64, batch of the epoch; −1 while all losses are finite

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser over the task's groups, and its schedule by step."""
        optimizer = self._optimisation.optimizer(self.task.param_groups())
        self._decays = [float(group.get("weight_decay", 0.0)) for group in optimizer.param_groups]
        schedule = self._optimisation.schedule(optimizer, self._total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Take up the count of steps where a checkpoint left it."""
        self._stepped = self.trainer.global_step

    def on_train_epoch_start(self) -> None:
        """Move the loader to this epoch, before Lightning draws its first batch."""
        self.measures = {}
        if self.current_epoch + 1 == self.trainer.max_epochs:
            self.trainer.check_val_every_n_epoch = 1  # the last epoch is always looked at
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.device)
        self._loader.set_epoch(self.current_epoch)
        self._refit()

    def _refit(self) -> None:
        """Let the task refit what changes by epoch; nothing of it is in a checkpoint, which ends an epoch."""
        torch.manual_seed(derive(self._seed, Stream.EPOCH, self.current_epoch))
        self.task.eval()
        with torch.no_grad():
            epoch = self.task.before_epoch(self._in_order, self._progress())
        self.task.train()
        self._loader.set_weights(epoch.weights)
        optimizer = self.trainer.optimizers[0]
        for parameter in epoch.reset:
            optimizer.state.pop(parameter, None)

    def _progress(self) -> Progress:
        return Progress(self._stepped, self._total_steps, self._epochs * self._stepped / self._total_steps)

    def on_train_batch_start(self, batch: Images, batch_idx: int) -> None:
        """Reseed torch, for layers that draw (dropout): a resumed run draws the same."""
        torch.manual_seed(derive(self._seed, Stream.LAYERS, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, images: Images, batch_idx: int) -> Tensor:
        """Return the loss of one batch, such that the gradient of a step is the mean over its batches."""
        draw = generator(self._seed, Stream.VIEWS, self.current_epoch, batch_idx, self.global_rank)
        step = checked(self.task.loss(self._views(images, draw)), self.task)
        self._watch(step.loss, batch_idx)
        count = len(images.pixels)
        self.images_seen += count
        for name, value in {"loss": step.loss, **step.logs}.items():
            weight = step.counts(name, count)
            self._train.add(name, value.detach() * weight, weight)
        missing = self._missing(batch_idx)
        return step.loss if missing == 1 else step.loss * missing

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let the task change its gradients, before they are clipped; move the weight decay."""
        self.task.before_step(self._progress())
        share = self._optimisation.decay(self._stepped, self._total_steps)
        for group, decay in zip(optimizer.param_groups, self._decays, strict=True):
            group["weight_decay"] = decay * share

    def on_train_batch_end(self, outputs: Any, batch: Images, batch_idx: int) -> None:
        """Let the task follow an optimiser step, if there was one; close the epoch after its last batch."""
        if self.trainer.global_step > self._stepped:
            self._stepped = self.trainer.global_step
            self.task.after_step(self._progress())
        if self.trainer.is_last_batch:
            self._raise_if_bad()
            self._raise_if_weights_bad()
            self._take(self._train, "train")

    def on_train_epoch_end(self) -> None:
        """Hand the epoch's means to the loggers."""
        self._log("train")

    def validation_step(self, images: Images, batch_idx: int) -> None:
        """Add one batch to the validation measures; every epoch draws the same random numbers."""
        if self.task.untrained:
            return
        torch.manual_seed(derive(self._seed, Stream.VALIDATION, 0, batch_idx, self.global_rank))
        draw = generator(self._seed, Stream.VALIDATION, 1, batch_idx, self.global_rank)
        batch = self._views(images, draw)
        step = checked(self.task.loss(batch), self.task)
        for name, value in {"loss": step.loss, **step.logs}.items():
            weight = step.counts(name, len(images.pixels))
            self._val.add(name, value * weight, weight)
        for kind, levels in (("chance", self.task.chance(batch)), ("blind", self.task.blind(batch))):
            for name, level in levels.items():
                if not math.isfinite(level):
                    raise ValueError(
                        f"{type(self.task).__name__}.{kind}: {name} is a finite number; it is {level}"
                    )
                weight = step.counts(name, len(images.pixels))
                self._val.add(f"{name}_{kind}", step.loss.new_tensor(level) * weight, weight)
        scores = self.task.score(batch)
        refuse_watched(scores, f"{type(self.task).__name__}.score")
        for name, (total, whole) in scores.items():
            self._val.add(name, total, whole)

    def on_validation_epoch_end(self) -> None:
        """Hand the means over the validation images to the loggers."""
        self._take(self._val, "val")
        self._log("val")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the count of images."""
        checkpoint["images_seen"] = self.images_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the count of images back."""
        self.images_seen = checkpoint["images_seen"]

    def _views(self, images: Images, draw: torch.Generator) -> Any:
        # Colour conversion and targets keep their digits: bf16 is for the network.
        with torch.autocast(self.device.type, enabled=False):
            return self.task.views(images, draw)

    def _missing(self, batch_idx: int) -> float:
        """By how much Lightning divides too much, an epoch's last step having what batches are left."""
        accumulate, batches = self._optimisation.accumulate, int(self.trainer.num_training_batches)
        return accumulate / min(accumulate, batches - batch_idx // accumulate * accumulate)

    def _take(self, means: Mean, split: str) -> None:
        self.measures |= {f"{split}/{name}": value for name, value in means.read().items()}

    def _log(self, split: str) -> None:
        mine = {name: value for name, value in self.measures.items() if name.startswith(f"{split}/")}
        if mine:
            self.log_dict(mine, batch_size=1)

    def _watch(self, loss: Tensor, batch_idx: int) -> None:
        assert self._first_bad is not None  # made in on_train_epoch_start
        bad = ~torch.isfinite(loss.detach()) & (self._first_bad < 0)
        self._first_bad = torch.where(bad, batch_idx, self._first_bad)
        if self.device.type == "cpu" or batch_idx % WATCH_EVERY == 0:
            self._raise_if_bad()

    def _raise_if_bad(self) -> None:
        batch = -1 if self._first_bad is None else int(self._first_bad)
        if batch >= 0:
            accumulate = self._optimisation.accumulate
            each = -(-int(self.trainer.num_training_batches) // accumulate)
            step = self.current_epoch * each + batch // accumulate
            raise NonFiniteLoss(
                f"{type(self.task).__name__}: the loss is NaN or infinite at step {step} of "
                f"{self._total_steps} (epoch {self.current_epoch}, batch {batch})"
            )

    def _raise_if_weights_bad(self) -> None:
        bad = [name for name, p in self.task.named_parameters() if not bool(torch.isfinite(p).all())]
        if bad:
            raise NonFiniteLoss(
                f"{type(self.task).__name__}: weights are NaN or infinite after step "
                f"{self.trainer.global_step} (end of epoch {self.current_epoch}): {', '.join(bad)}"
            )
