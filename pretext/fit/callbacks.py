"""What happens beside the training itself: checkpoint, history, sample pictures, monitor."""

from __future__ import annotations

import csv
import io
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from pretext.atomic import replacing, write_bytes
from pretext.data.loader import EpochLoader
from pretext.fit.lightning_module import Pretraining
from pretext.fit.monitor import collapsed, features, probes, shape
from pretext.pictures import contact_sheet
from pretext.task import Images


@runtime_checkable
class PictureLogger(typing.Protocol):
    """A logger that takes pictures, as Lightning's `WandbLogger` does."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Log pictures (H, W, 3) under a key."""


class EpochEnd(Callback):
    """After each whole epoch writes `last.ckpt` and `history.csv`.

    The rows travel inside the checkpoint, so that a resumed run's history is that of an uninterrupted one.

    Args:
        folder: where the two files go.
        identity: plain values that determine the run; a checkpoint with other ones is refused.
    """

    def __init__(self, folder: Path, identity: dict[str, object]) -> None:
        self.rows: list[dict[str, float]] = []
        self.seconds = self.training = 0.0  # of all epochs, with and without validation
        self.folder = folder
        self._identity = identity
        self._since = self._paused = self._validating = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._since, self._validating = time.perf_counter(), 0.0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the second clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the second clock."""
        self._validating += time.perf_counter() - self._paused

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write history and checkpoint."""
        assert isinstance(pl_module, Pretraining)
        elapsed = time.perf_counter() - self._since
        self.seconds += elapsed
        self.training += elapsed - self._validating
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        place = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "lr": rate}
        self.rows.append({**place, "seconds": round(elapsed, 3), **pl_module.measures})
        write_history(self.folder / "history.csv", self.rows)
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Rows, clocks and identity."""
        clocks = {"seconds": self.seconds, "training": self.training}
        return {"rows": self.rows, **clocks, "identity": self._identity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take rows and clocks back."""
        self.rows = list(state_dict["rows"])
        self.seconds, self.training = float(state_dict["seconds"]), float(state_dict["training"])


class Monitor(Callback):
    """At each validation looks at the encoder's features of val images, and says so when they collapse.

    Args:
        bank: training images that the probes learn from; None for no probes.
        val: the images that are looked at.
        neighbours: of the vote.
        say: where a warning goes.
        name: of the set, where it is not the one that is trained on; its measures end in it.
    """

    def __init__(
        self,
        bank: EpochLoader | None,
        val: EpochLoader,
        neighbours: int,
        say: Callable[[str], None],
        name: str = "",
    ) -> None:
        self._bank, self._val, self._neighbours, self._say, self._name = bank, val, neighbours, say, name

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure; the module reports what is found among its measures."""
        assert isinstance(pl_module, Pretraining)
        encoder = pl_module.task.encoder
        seen = features(encoder, self._val)
        bank = features(encoder, self._bank) if self._bank is not None and seen.labels is not None else None
        if not all(bool(x.vectors.isfinite().all()) for x in (seen, bank) if x is not None):
            return  # what only watches ends nothing, and neither probe takes such numbers
        found = shape(seen.vectors)
        if bank is not None:
            found |= probes(bank, seen, self._neighbours)
        end = f"_{self._name}" if self._name else ""
        pl_module.measures |= {f"val/{name}{end}": value for name, value in found.items()}
        if not self._name and collapsed(pl_module.measures) and not pl_module.task.untrained:
            self._say(
                f"the features collapse: those of all val images are nearly the same (spread "
                f"{found['spread']:.2g} of 1, {found['rankme']:.1f} directions)"
            )


class Samples(Callback):
    """At each validation writes what the task shows of a fixed handful of val images."""

    def __init__(self, images: Images, folder: Path) -> None:
        self._images, self._folder = images, folder

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the pictures of each image side by side; hand the same to loggers that take pictures."""
        assert isinstance(pl_module, Pretraining)
        with torch.no_grad():
            shown = pl_module.task.show(self._images)
        if not shown:
            return
        picture = contact_sheet({name: _levels(images) for name, images in shown.items()})
        done = trainer.current_epoch + int(trainer.state.fn == "fit")
        with replacing(self._folder / f"epoch_{done:03d}.png") as file:
            Image.fromarray(picture).save(file, format="PNG")
        for logger in trainer.loggers:
            if isinstance(logger, PictureLogger):
                logger.log_image(key="val/" + "_".join(shown), images=[picture])


def _levels(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in [0, 1] as (N, H, W, 3) uint8."""
    pixels = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows as CSV, atomically; a measure that an epoch lacks is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
